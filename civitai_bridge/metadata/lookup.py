"""What only a hash or an id names: the questions to ask of CivitAI, and the data with the answers in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..resources.hashes import spellings
from .generation import LORA_KINDS, GenerationData, UsedResource, by_list
from .prompt import name_key, normal_name
from .resources import from_air, is_called, join, letters, same_kind


@dataclass(frozen=True)
class HashQuestion:
    """A resource that only its hash can name: `tries` are the spellings to look up in order."""

    name: str
    kind: str
    hash: str
    tries: tuple[str, ...]


def hash_questions(data: GenerationData) -> tuple[HashQuestion, ...]:
    """The hashes that are to be looked up, each once: those of resources without a version id or AIR."""
    questions: dict[str, HashQuestion] = {}
    for used in filter(None, (data.model, *data.resources, data.vae_file)):
        if used.hash and _unnamed(used):
            questions.setdefault(used.hash, HashQuestion(used.name, used.kind, used.hash, spellings(used.hash)))
    return tuple(questions.values())


@dataclass(frozen=True)
class VersionQuestion:
    """A version that is to be looked up by its id: `subject` is what is asked for, in words for a report; `only_words`
    = its name is known, only its trigger words and file are not."""

    version_id: int
    subject: str
    only_words: bool = False


def version_questions(data: GenerationData) -> tuple[VersionQuestion, ...]:
    """The versions of which no more than the id is known, the embeddings whose word or file is not, and the LoRAs whose
    trigger words and file are not; each once, the model's first."""
    questions: dict[int, VersionQuestion] = {}
    if data.model_version_id is not None and not (data.model_air and data.model_name):
        questions[data.model_version_id] = VersionQuestion(data.model_version_id, f"version {data.model_version_id}")
    for used in data.resources:
        if used.version_id is None or used.version_id in questions:
            continue
        if not (used.air and used.name) or (used.kind == "embedding" and not (used.words and used.file)):
            questions[used.version_id] = VersionQuestion(used.version_id, f"version {used.version_id}")
        elif used.kind in LORA_KINDS and not used.file:
            subject = f"the trigger words of {used.name[:80]}"
            questions[used.version_id] = VersionQuestion(used.version_id, subject, only_words=True)
    return tuple(questions.values())


def described(data: GenerationData, answers: Mapping[int, UsedResource]) -> GenerationData:
    """The data after versions were looked up by their ids. A checkpoint that was only an id becomes the model where
    the data knows none."""
    settled: list[UsedResource] = []
    resolved: list[UsedResource] = []
    for used in data.resources:
        version = answers.get(used.version_id or 0)
        # What was only an id may be the model, and so may what CivitAI resolved.
        may_be_model = used.source == "resources" or (version is not None and used.kind == "other")
        (resolved if may_be_model else settled).append(_filled(used, version) if version else used)
    if model := answers.get(data.model_version_id or 0):
        data = _with_model(data, model)
    settled = [_named_by(used, answers.values()) for used in settled]
    return with_resolved(replace(data, **by_list(settled)), resolved)


def answered(data: GenerationData, answers: Mapping[str, UsedResource]) -> GenerationData:
    """The data after a look-up: `answers` by the hash that was asked.

    Weights and sources stay the data's. An answer of another kind (short hashes collide) is not taken."""
    notes: list[str] = []
    listed: list[UsedResource] = []
    for used in data.resources:
        version = answers.get(used.hash) if _unnamed(used) else None
        if version is not None and not same_kind(used.kind, version.kind):
            notes.append(_other_kind(used.name, used.hash, version))
        elif version is not None:
            used = _filled(used, version)
        listed.append(used)
    if data.model_version_id is None and not data.model_air and (model := answers.get(data.model_hash)):
        if model.kind in ("checkpoint", "other"):
            data = _with_model(data, model)
        else:
            notes.append(_other_kind(data.model_name, data.model_hash, model))
    if (vae := answers.get(data.vae_hash)) is not None:
        if vae.kind in ("vae", "checkpoint", "other"):
            listed.append(replace(vae, name=data.vae or vae.name, hash=data.vae_hash, kind="vae", source="hashes"))
        else:
            notes.append(_other_kind(data.vae, data.vae_hash, vae))
    model_id = data.model_version_id or -1
    lists = by_list(join((used for used in listed if used.version_id != model_id or used.kind == "vae"), notes))
    return replace(data, **lists, notes=_with_notes(data, notes))


def with_resolved(data: GenerationData, resolved: Iterable[UsedResource]) -> GenerationData:
    """The data with what CivitAI resolved: by version id, by hash, by its whole name.

    A checkpoint becomes the model where the data knows none, or when it is the same one."""
    resolved = tuple(resolved)
    notes: list[str] = []
    model = _resolved_model(data, resolved, notes)
    models = {model.version_id if model is not None else None, data.model_version_id} - {None}
    rest = [used for used in resolved if used is not model]
    named = [_named_by(used, rest) for used in data.resources if used.version_id not in models]
    if model is not None:
        data = replace(
            data,
            model_air=data.model_air or model.air,
            model_name=data.model_name or model.name,
            model_version_id=model.version_id if data.model_version_id is None else data.model_version_id,
            model_id=model.model_id if data.model_id is None else data.model_id,
            base_model=data.base_model or model.base_model,
            model_hash=data.model_hash or model.hash,
        )
    lists = by_list(join([*named, *rest], notes))
    return replace(data, **lists, notes=_with_notes(data, notes))


def with_named_model(data: GenerationData) -> GenerationData:
    """The data with a model whose name is an AIR, as CivitAI's own generator writes it, known by its ids."""
    model = from_air(data.model_name) if "@" in data.model_name else None
    if model is None or model.version_id is None or data.model_version_id not in (None, model.version_id):
        return data
    return replace(data, model_name="", model_air=model.air, model_version_id=model.version_id, model_id=model.model_id)


def embedding_words(data: GenerationData, called: Callable[[UsedResource], str] = lambda _: "") -> dict[str, str]:
    """The words by which the prompts call embeddings, and the name that ComfyUI is to read for each: what `called`
    says (the file on this machine), else the file's on CivitAI, else the word itself.

    A model's title is no such word: `Dragon` may be an embedding and stand in any prompt."""
    names: dict[str, str] = {}
    for embedding in data.embeddings:
        file = normal_name(called(embedding) or embedding.file)
        for word in filter(str.strip, embedding.words):
            names.setdefault(word, file or normal_name(word))
    return names


def _unnamed(used: UsedResource) -> bool:
    return used.version_id is None and not used.air


def _with_notes(data: GenerationData, notes: Iterable[str]) -> tuple[str, ...]:
    return (*data.notes, *(note for note in notes if note not in data.notes))


def _resolved_model(data: GenerationData, resolved: tuple[UsedResource, ...], notes: list[str]) -> UsedResource | None:
    """The checkpoint that is the data's model: by version, hash or whole name, failing these the only one.

    A hash has the last word: where it proves none, it is to be asked, for what has the same name, or stands alone, may
    be the version that the image's post belongs to, which CivitAI lists as well."""
    models = [used for used in resolved if used.kind == "checkpoint"]
    if data.model_version_id is not None:
        return next((used for used in models if used.version_id == data.model_version_id), None)
    if data.model_hash:
        proven = [used for used in models if used.hash and used.hash[:10] == data.model_hash[:10]]
        return proven[0] if len(proven) == 1 else None
    called = [used for used in models if is_called(used, data.model_name)]
    if len(called) > 1:
        exactly = [used for used in called if letters(name_key(data.model_name)) != letters(used.name)]
        if len(exactly) != 1:
            notes.append(
                f"CivitAI names {len(called)} versions of {data.model_name[:80]}; which one it was is not said."
            )
        return exactly[0] if len(exactly) == 1 else None
    if called or len(models) != 1:
        return called[0] if called else None
    if data.model_name:
        notes.append(f"The settings name the model {data.model_name[:80]}; CivitAI says it is {_title(models[0])}.")
    return models[0]


def _title(used: UsedResource) -> str:
    title = f"{used.name[:80]} {used.version_name[:40]}".strip()
    return title or used.air or f"version {used.version_id}"


def _named_by(used: UsedResource, resolved: Iterable[UsedResource]) -> UsedResource:
    """The resource with the version of its own hash; without one, of the model name, or model and version name, that
    is its whole name: a second mention of what is known."""
    if not _unnamed(used) or not used.name:
        return used
    fitting = [
        version
        for version in resolved
        if same_kind(used.kind, version.kind, loosely=False)
        and (version.hash[:10] == used.hash[:10] if used.hash else is_called(version, used.name))
    ]
    if len(fitting) != 1:
        return used
    return replace(used, version_id=fitting[0].version_id, air=fitting[0].air, model_id=fitting[0].model_id)


def _other_kind(name: str, hash: str, answer: UsedResource) -> str:
    called = name[:60] or "a resource"
    return f"The hash {hash} of {called} is that of a {answer.kind}, {answer.name[:60]}; it is not taken."


def _filled(used: UsedResource, version: UsedResource) -> UsedResource:
    """A resource with what a look-up says of its version; its weights, name and source stay."""
    return replace(
        used,
        air=used.air or version.air,
        version_id=version.version_id,
        model_id=version.model_id,
        version_name=version.version_name or used.version_name,
        base_model=version.base_model or used.base_model,
        name=used.name or version.name,
        kind=version.kind if used.kind == "other" else used.kind,
        words=tuple(dict.fromkeys((*used.words, *version.words))),
        file=used.file or version.file,
        trained_words=used.trained_words or version.trained_words,
    )


def _with_model(data: GenerationData, version: UsedResource) -> GenerationData:
    return replace(
        data,
        model_air=data.model_air or version.air,
        model_version_id=version.version_id,
        model_id=version.model_id,
        model_name=data.model_name or version.name,
        base_model=version.base_model or data.base_model,
    )
