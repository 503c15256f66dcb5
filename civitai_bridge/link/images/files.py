"""Which files of this machine a request means: by hash in the index of model files, told apart by what is in them.

Every sentence of here goes to a room, so a file is named by its own name, never by its folder on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...errors import BadInput, FileTrouble, WrongFamily
from ...model_files.architecture import LORA as IS_LORA
from ...model_files.architecture import MODEL, TEXT_ENCODER, VAE, Content, content_of
from ...model_files.indexed import Files, ModelPath, Ownership
from ...model_files.names import is_safetensors, stem_of
from ...model_files.safetensors import read_shapes
from ...resources.ecosystems import ecosystem_of, same_family
from ...resources.hashes import spellings
from ...resources.plain_text import one_line
from .families import ENCODERS, FAMILIES, Family, family_of_base_model
from .request import EMBEDDING, HYPERNET, LORA, ImageRequest, Network

CHECKPOINTS, DIFFUSION_MODELS = "checkpoints", "diffusion_models"
FOLDERS = {LORA: "loras", HYPERNET: "hypernetworks", EMBEDDING: "embeddings"}
_SHOWN = 12  # hex digits of a hash in a sentence


@dataclass(frozen=True)
class AppliedNetwork:
    """A LoRA or hypernetwork: the name of its file for core's loader, and the weights of model and text encoder."""

    kind: str
    file: str
    strength: float
    clip_strength: float


@dataclass(frozen=True)
class ModelFiles:
    """What core's loaders are to load, each by its name in its folder. `folder` is the model's: `checkpoints` or
    `diffusion_models`. `encoders` are in the order of the family's loader, empty where the model's own file has them;
    so is `vae`. `inpainting`: the model takes a mask as channels of its own."""

    family: Family
    model: str
    folder: str
    encoders: tuple[str, ...] = ()
    vae: str = ""
    inpainting: bool = False


class FileFinder:
    """One request's look at the index; slow, for a thread of its own, since headers of files are read. `owner_of` says
    whose a file is by its SHA-256; `mismatch` is the setting `lora_family_mismatch`. What is raised is a BadInput or
    WrongFamily with a sentence."""

    def __init__(
        self, files: Files, owner_of: Callable[[str], Ownership | None], mismatch: str, *, is_scanning: bool = False
    ) -> None:
        self._files = files
        self._is_scanning = is_scanning
        self._owner_of = owner_of
        self._mismatch = mismatch
        self.notes: list[str] = []

    def model_files(self, request: ImageRequest) -> ModelFiles:
        """The model with everything that it needs beside it."""
        model = self.by_hash(request.model, (CHECKPOINTS, DIFFUSION_MODELS), "model")
        content = _content(model)
        if content.kind not in ("", MODEL):
            raise BadInput(f"The file that is named as model is a {content.kind}, which makes no picture by itself.")
        family = FAMILIES[self._family(model, content)]
        is_whole = model.folder == CHECKPOINTS and not content.kind  # no header to read; the loader will see
        has_encoder = is_whole or (model.folder == CHECKPOINTS and content.has_text_encoder)
        has_vae = is_whole or (model.folder == CHECKPOINTS and content.has_vae)
        encoders = () if has_encoder else tuple(self._encoder(role, family) for role in family.encoders)
        vae = self._chosen_vae(request.vae, family) if request.vae else "" if has_vae else self._own_vae(family)
        return ModelFiles(family, model.name, model.folder, encoders, vae, content.inpainting)

    def network(self, network: Network, family: Family) -> ModelPath:
        """The file of an additional network."""
        called = f"{network.kind} {network.name}".strip()
        file = self.by_hash(network.hash, (FOLDERS[network.kind],), called)
        kind = _content(file).kind
        if network.kind == LORA and kind not in ("", IS_LORA):
            raise BadInput(f"The file that is named as {called} is a {kind}.")
        self.check_family(file, family, called)
        return file

    def named(self, name: str, kind: str, family: Family) -> ModelPath:
        """The one network of this name that a prompt means."""
        called = f"{kind} {one_line(name)[:60]}"
        found = [file for file in self._files.by_stem.get(stem_of(name), ()) if file.folder == FOLDERS[kind]]
        exact = [file for file in found if stem_of(file.name) == stem_of(name)] or found
        if len({file.sha256 or file.path for file in exact}) != 1:
            how = "is not here" if not exact else "is the name of several files here; name it by its hash"
            raise BadInput(f"The prompt names the {called}, which {how}.")
        self.check_family(exact[0], family, called)
        return exact[0]

    def embeddings(self) -> Iterable[ModelPath]:
        """Every embedding that is here; of two with one name the one that core finds comes first."""
        return (file for file in self._files.all if file.folder == FOLDERS[EMBEDDING])

    def check_family(self, file: ModelPath, family: Family, called: str) -> None:
        """Raises WrongFamily for a network of another family, as far as CivitAI said whose it is; or notes it, by the
        setting."""
        base_model = self._base_model(file)
        if not base_model or same_family(ecosystem_of(base_model), family.ecosystem):
            return
        if family_of_base_model(base_model) and FAMILIES[family_of_base_model(base_model)] == family:
            return
        text = f"The {called} is for {base_model}, the model is {family.name}"
        if self._mismatch != "warn":
            raise WrongFamily(f"{text}; they do not fit.")
        self.notes.append(f"{text}; the picture may not show it.")

    def by_hash(self, digits: str, folders: Sequence[str], called: str) -> ModelPath:
        """The file of a hash in one of these folders, of a lower rank first."""
        matches = next((found for each in spellings(digits) if (found := self._files.by_hash.get(each))), ())
        if not matches:
            is_whole = not self._is_scanning and all(file.sha256 for file in self._files.all)
            more = "" if is_whole else " Not all model files here are hashed yet; ask again later."
            raise BadInput(f"No model file here has the hash {digits[:_SHOWN]}, which is named as {called}.{more}")
        usable = [file for file in matches if file.folder in folders]
        if not usable:
            raise BadInput(f"The file of the hash {digits[:_SHOWN]} is in {matches[0].folder} and no {called}.")
        if len({file.sha256 for file in usable}) > 1:
            raise BadInput(f"Several files here have the short hash {digits[:_SHOWN]}; name {called} by its SHA256.")
        whole = next((file for file in usable if file.is_as_hashed()), None)
        if whole is None:
            raise BadInput(f"The file that is named as {called} was changed since it was hashed; ask again later.")
        return whole

    def _family(self, model: ModelPath, content: Content) -> str:
        """The key of the model's family: by its tensors, else by what CivitAI says of it."""
        base_model = self._base_model(model)
        if key := content.family or ("" if content.kind else family_of_base_model(base_model)):
            return key
        if not content.kind and not base_model and model.folder == CHECKPOINTS and not is_safetensors(model.name):
            self.notes.append("The model's file does not tell its family; it is taken for one of Stable Diffusion.")
            return "sd1"
        names = ", ".join(family.name for family in FAMILIES.values())
        is_one = f"is one for {base_model}" if base_model else "is of a family that cannot be told"
        raise BadInput(f"The model {is_one}; pictures are made here with {names}.")

    def _base_model(self, file: ModelPath) -> str:
        owner = self._owner_of(file.sha256) if file.sha256 else None
        return str(owner.about.get("base_model") or "") if owner else ""

    def _chosen_vae(self, digits: str, family: Family) -> str:
        file = self.by_hash(digits, ("vae",), "vae")
        content = _content(file)
        if content.kind not in ("", VAE):
            raise BadInput(f"The file that is named as vae is a {content.kind}.")
        if content.family and content.family != family.vae:
            raise WrongFamily(f"The VAE that is named does not fit a model of {family.name}.")
        return file.name

    def _own_vae(self, family: Family) -> str:
        """The family's own VAE. It is known by its name alone: VAEs of other families have the same shapes."""
        named = {stem_of(file.name): file for file in reversed(self._files.all) if file.folder == "vae"}
        for name in family.vae_names:
            if (file := named.get(name)) and _content(file) in (Content(), Content(VAE, family.vae)):
                return file.name
        raise BadInput(
            f"{family.name} needs a VAE beside the model, and none of the names that are known for it "
            f"({', '.join(family.vae_names[:3])}) is in the folder vae here. Name one by its hash."
        )

    def _encoder(self, role: str, family: Family) -> str:
        """A text encoder by what is in it; the names under which it is known come first."""
        title, names = ENCODERS[role]
        order = {name: place for place, name in enumerate(names)}
        there = [file for file in self._files.all if file.folder in ("text_encoders", "clip")]
        there.sort(key=lambda file: (order.get(stem_of(file.name), len(order)), file.name))
        for file in there:
            content = _content(file)
            if content == Content(TEXT_ENCODER, role) or (not content.kind and stem_of(file.name) in order):
                return file.name
        raise BadInput(
            f"{family.name} needs the text encoder {title} beside the model, which is not in the folder text_encoders "
            f"here ({names[0]}, for one)."
        )


def _content(file: ModelPath) -> Content:
    """What a file holds; nothing is known of one that is no safetensors file, or that cannot be read."""
    if not is_safetensors(file.name):
        return Content()
    try:
        return content_of(read_shapes(file.path))
    except FileTrouble:
        return Content()
