"""The cases in `tests/data/metadata`: texts of a picture, and what reading them must give; values to write, of which
CivitAI's uploader must keep everything; picture files, in which the text must be seen.

Each file holds `texts` (the text chunks of a PNG by name, graphs as JSON) and `expected`: fields of `GenerationData`;
`loras`: [name, weight]; `nets`: [name, weight, hash]; `hires`: [scale, steps, denoise, upscaler]; `others`: [kind,
name]; `others_or_net`: [kind, name, weight]; null: nothing may be claimed. Run as a script it prints right and short
per family (`python3 tools/dev.py cases`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from pack_root import load_pack

DATA = Path(__file__).resolve().parent.parent / "data" / "metadata"
FAMILIES = ("texts", "graphs", "workflows")


def cases(family: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The cases of a family by name."""
    for path in sorted((DATA / family).glob("*.json")):
        yield path.stem, json.loads(path.read_text("utf-8"))


def containers() -> list[Path]:
    """The picture files, each with one way of holding a text."""
    return sorted((DATA / "containers").iterdir())


def texts_of(case: Mapping[str, Any]) -> dict[str, str]:
    """The texts as they stand in a file: graphs that are written out become text."""
    return {name: text if isinstance(text, str) else json.dumps(text) for name, text in case["texts"].items()}


def expected_of(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a case wants; some say only `sampler`: [sampler, scheduler] and `networks`, as other readers' samples do."""
    if "expected" in case:
        return case["expected"]
    sampling = {} if case["sampler"] is None else dict(zip(("sampler", "scheduler"), case["sampler"], strict=True))
    return {**sampling, **({} if case["networks"] is None else {"networks": case["networks"]})}


def wrong(data: Any, expected: Mapping[str, Any]) -> list[str]:
    """What reading gave that is not what the case wants, each in one line."""
    lines = []
    for name, want in expected.items():
        got = _READERS[name](data) if name in _READERS else getattr(data, name)
        if want is None:
            right = got in (None, "", (), [])
        elif name in _WITHIN:
            right = all(one in got for one in ([want] if name == "others_or_net" else want))
        else:
            right = got == _named(want)
        if not right:
            lines.append(f"{name}: {got!r}, not {want!r}")
    return lines


def _named(want: Any) -> Any:
    """What a case wants with nothing where it says null inside a list."""
    return [_named(one) if one is not None else "" for one in want] if isinstance(want, list) else want


_WITHIN = ("others", "others_or_net")
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "loras": lambda data: [[one.name, one.total[0]] for one in data.networks if one.kind in ("lora", "lyco")],
    "nets": lambda data: [[one.name, one.total[0], one.hash] for one in data.networks],
    "hires": lambda data: None if data.upscale is None else ["" if data.upscale.scale is None else data.upscale.scale, "" if data.upscale.steps is None else data.upscale.steps, "" if data.upscale.denoise is None else data.upscale.denoise, data.upscale.upscaler],
    "networks": lambda data: [[one.name, one.total[0], one.hash or one.version_id] for one in data.networks],
    "others": lambda data: [[one.kind, one.name] for one in data.others],
    "others_or_net": lambda data: [[one.kind, one.name, one.total[0]] for one in (*data.networks, *data.others)],
}  # fmt: skip


def unseen(path: Path, data: Any) -> list[str]:
    """What is wrong with the reading of a picture file: each holds one text, with the seed 4242, but for those that
    hold none and must say so."""
    if "naked" in path.name:
        return [] if data.notes and data.seed is None else ["it does not say that it holds nothing"]
    return [] if data.seed == 4242 and data.prompt else [f"seed {data.seed}, prompt {data.prompt!r}, {data.notes}"]


def written(case: Mapping[str, Any]) -> tuple[Any, str]:
    """A case of `writing`: what is said of the picture, and the text that goes into its file."""
    from pack.civitai_bridge.metadata.generation_json import generation_from_json
    from pack.civitai_bridge.metadata.write import picture_text

    if "graph" in case:
        picture = picture_text(case["graph"])
    else:
        said = dict(case["generation"])
        if said.get("prompt", "").startswith('<"word, "'):
            said["prompt"] = "word, " * 20_000
        picture = picture_text(None, generation_from_json(said))
    return picture.data, picture.text


def lost(data: Any, text: str) -> list[str]:
    """What CivitAI's uploader does not keep of a text that says `data`, each in one line."""
    from pack.civitai_bridge.metadata.a1111.write import respelled
    from pack.civitai_bridge.metadata.civitai_upload import recognised, uploaded_meta
    from pack.civitai_bridge.metadata.samplers import to_label

    uploaded = uploaded_meta(text)
    if uploaded.reason:
        return [uploaded.reason]
    meta = uploaded.meta
    words = {"prompt": (data.prompt, meta["prompt"]), "negativePrompt": (data.negative_prompt, meta["negativePrompt"])}
    lines = [f"{name}: {kept!r}, not {said!r}" for name, (said, kept) in words.items() if said.split() != kept.split()]
    for name, said in (
        ("steps", data.steps or 0),
        ("cfgScale", data.cfg),
        ("seed", data.seed),
        ("clipSkip", data.clip_skip),
    ):
        kept = meta.get(name)
        if (kept is None) != (said is None) or (said is not None and float(kept) != float(said)):
            lines.append(f"{name}: {kept!r}, not {said!r}")
    if data.sampler and not respelled(data) and meta.get("sampler") != to_label(data.sampler):
        lines.append(f"sampler: {meta.get('sampler')!r}")
    if data.width and meta.get("Size") != f"{data.width}x{data.height}":
        lines.append(f"size: {meta.get('Size')!r}")
    kept_weights = {entry["modelVersionId"]: entry.get("weight") for entry in meta.get("civitaiResources", ())}
    for resource in data.resources:
        if resource.version_id and kept_weights.get(resource.version_id) != resource.total[0]:
            lines.append(f"{resource.name}: weight {kept_weights.get(resource.version_id)}, not {resource.total[0]}")
    ours = {one.name: one for one in recognised(text)}
    for resource in filter(None, (data.model, *data.resources)):
        by_hash = resource.hash and resource.kind != "vae"
        if (resource.version_id or by_hash) and not ours[resource.name].recognised:
            lines.append(ours[resource.name].reason)
    return lines


def main() -> int:
    """Print how many cases of each family are right, and what is wrong with the others."""
    load_pack("pack")
    from pack.civitai_bridge.metadata.read import generation_from_texts, read_file

    families = {
        family: {name: wrong(generation_from_texts(texts_of(case)), expected_of(case)) for name, case in cases(family)}
        for family in FAMILIES
    }
    families["writing"] = {name: lost(*written(case)) for name, case in cases("writing")}
    families["containers"] = {path.name: unseen(path, read_file(path)) for path in containers()}
    for family, found in families.items():
        short = {name: lines for name, lines in found.items() if lines}
        print(f"{family}: {len(found) - len(short)} right, {len(short)} short of {len(found)}")
        for name, lines in short.items():
            print(f"    {name}: {'; '.join(lines)}")
    return 1 if any(any(found.values()) for found in families.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
