"""What a workflow made, into a person's folder: resumed, verified, never over a file that is there.

    {workflow}_{step}_{i}.ending        the ending by the bytes; every part of the name made safe

A file of that name that is whole is the output from an earlier time and is kept; any other file of that name is left
alone, and the output gets the next name (`…-2`). What is under way is `{workflow}_{step}_{i}.{mark}.part`."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BlobDamaged, BlobUnavailable, DownloadTrouble, Unreachable
from ..model_files.atomic import place_new, put_in_place
from ..model_files.names import safe_name
from ..model_files.partial import PartialFile, in_words
from ..network.fetch import CAP, Opened, OpenFile, check_placeholder, expect_content
from ..orchestration.blob_ways import Refused, by_any_way
from ..orchestration.client import OrchestrationClient
from ..orchestration.timings import Timings
from .kinds import ENDINGS, HEAD, ending_for, sniff, verify
from .outputs import IMAGE, TEXT, Output

AT_ONCE = 6  # files that are loaded together; as many more may be verified and written meanwhile
_MOST_NAMES = 1000
_LONGEST_PART = 60  # characters of a workflow's or step's name in a file's name
_KEPT_NAME = re.compile(r"(.+?)(?:-\d+)?\.(\w+)")
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+)")

NEW, THERE, MISSING = "new", "there", "missing"


@dataclass(frozen=True)
class KeptOutput:
    """What became of an output: `new` (written now), `there` (whole, from an earlier time) or `missing` with the
    reason; `again` = it may be had by trying again."""

    output: Output
    state: str
    path: Path | None = None
    size: int = 0
    sha256: str = ""
    reason: str = ""
    again: bool = False


@dataclass(frozen=True)
class Source:
    """Where bytes come from: the orchestrator's addresses, and what opens one without a credential."""

    client: OrchestrationClient
    open_file: OpenFile
    timings: Timings
    most_bytes: int
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


def stems(workflow_id: str, outputs: Iterable[Output]) -> list[str]:
    """A safe name without ending for each output; no two are equal, whatever the steps are called.

    assert stems("a-b", [Output("$0", 0, 0, "image", "")]) == ["a-b_0_0"]
    """
    outputs = list(outputs)
    labels: dict[int, str] = {}
    for output in outputs:
        if output.step_index not in labels:
            step = safe_part(output.step) or str(output.step_index)
            while step in labels.values():
                step = f"{step}-{output.step_index}"
            labels[output.step_index] = step
    workflow = safe_part(workflow_id) or "workflow"
    if workflow != workflow_id:  # two ids must not become one name
        workflow = f"{workflow}-{hashlib.sha256(workflow_id.encode()).hexdigest()[:8]}"
    return [f"{workflow}_{labels[output.step_index]}_{output.index}" for output in outputs]


async def keep_outputs(
    source: Source,
    outputs: Iterable[tuple[str, Output]],
    folder: Path,
    on_file: Callable[[KeptOutput], None] = lambda _: None,
) -> list[KeptOutput]:
    """Put outputs into a folder under these names without endings, several at once; what came of each, in their order.
    `on_file` sees each as it is done. Raises DownloadTrouble where the folder does not take a file; what was written
    until then stays."""
    room = asyncio.Semaphore(2 * AT_ONCE)
    earlier = await asyncio.to_thread(_earlier, folder)

    async def keep(stem: str, output: Output) -> KeptOutput:
        async with room:
            kept = await _keep(source, folder, stem, output, earlier.get(stem, ()))
        on_file(kept)
        return kept

    tasks = [asyncio.ensure_future(keep(stem, output)) for stem, output in outputs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(source: Source, folder: Path, stem: str, output: Output, earlier: Sequence[Path]) -> KeptOutput:
    if output.kind == TEXT:
        return await asyncio.to_thread(_write_text, folder, stem, output, earlier)
    for path in earlier:
        if there := await _as_it_is(source, path, output):
            return there
    if output.is_withheld or not (output.available and (output.id or output.url)):
        return KeptOutput(output, MISSING, reason=output.absence or "CivitAI names no address for it")

    async def take(url: str) -> KeptOutput:
        return await _load(source, folder, stem, output, url)

    fetched = await by_any_way(source.client, output.id, output.url, take, source.timings)
    if isinstance(fetched, Refused):
        return KeptOutput(output, MISSING, reason=fetched.reason, again=not fetched.final)
    return fetched[0]


async def _load(source: Source, folder: Path, stem: str, output: Output, url: str) -> KeptOutput:
    """One try by one address, going on from what an earlier one left. Raises BlobTrouble, Unreachable."""
    mark = hashlib.sha256((output.id or stem).encode()).hexdigest()[:12]
    part = PartialFile(folder / f"{stem}.{mark}.part", keep=True)
    most = min(source.most_bytes, CAP) if output.kind == IMAGE else source.most_bytes
    async with part:
        async with source.room:
            is_stated = await _pull(source, part, url, most)
        sha256 = await part.finish()

        def put_in_folder() -> Path:
            return _name(part.path, folder, stem, _verified(part.path, output, decode=not is_stated))

        try:
            path = await asyncio.to_thread(put_in_folder)
        except BlobDamaged:
            await part.empty()
            raise
        return KeptOutput(output, NEW, path, part.size, sha256)


async def _pull(source: Source, part: PartialFile, url: str, most: int) -> bool:
    """Load what is missing; whether the length of the whole was stated, and kept."""
    headers = {"range": f"bytes={part.size}-"} if part.size else {}
    async with source.open_file(url, headers) as (answer, at):
        check_placeholder(at)
        total = _whole_size(answer)
        if answer.status == 416 and part.size:
            if total == part.size:
                return True
            await part.empty()
            raise BlobDamaged("What an earlier time left of it does not fit; it is loaded from the start.")
        if answer.status != 206 or not part.size:
            expect_content(answer.status, at, "the file")
            await part.empty()
        elif _first(answer) != part.size:
            await part.empty()
            raise BlobDamaged("The storage sends another part than was asked for.")
        if (total is not None and total > most) or not await part.take(answer.chunks, most, lambda: None):
            await part.empty()
            raise BlobUnavailable(f"It has more than {most / 1e9:.2f} GB, the most that is loaded.")
    if total is not None and part.size != total:
        raise Unreachable(f"The storage broke off after {part.size} of {total} bytes.")
    return total is not None


def _whole_size(answer: Opened) -> int | None:
    """How many bytes the whole has, by the range or the length that an answer states."""
    if match := _RANGE.fullmatch(answer.headers.get("content-range", "")):
        return int(match[2])
    length = answer.headers.get("content-length", "")
    is_plain = answer.headers.get("content-encoding", "identity") == "identity"
    return int(length) if answer.status == 200 and length.isdecimal() and is_plain else None


def _first(answer: Opened) -> int:
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    return int(match[1]) if match and match[1] else -1


async def _as_it_is(source: Source, path: Path, output: Output) -> KeptOutput | None:
    """A file that is there, where it is the output: a picture by its own bytes, anything else by the length that the
    storage states, if it does. None for another file."""
    try:
        if output.kind == IMAGE:
            return await asyncio.to_thread(_picture_there, path, output)
        size, stated = path.stat().st_size, await _stated_size(source, output)
    except (OSError, BlobDamaged):
        return None
    if stated is None:
        return KeptOutput(output, THERE, path, size, reason="not compared, for CivitAI does not say how long it is")
    return KeptOutput(output, THERE, path, size) if size == stated else None


def _picture_there(path: Path, output: Output) -> KeptOutput | None:
    content = path.read_bytes()
    seen = verify(content, output, decode=True)
    if seen is not None and None not in (output.width, output.height):
        if (seen.width, seen.height) != (output.width, output.height):
            return None
    return KeptOutput(output, THERE, path, len(content), hashlib.sha256(content).hexdigest())


async def _stated_size(source: Source, output: Output) -> int | None:
    """How long the storage says that the output is; None where it says nothing, or has it no more."""
    if output.is_withheld or not output.available:
        return None

    async def look(url: str) -> int | None:
        async with source.open_file(url, {}) as (answer, at):
            check_placeholder(at)
            expect_content(answer.status, at, "the file")
            return _whole_size(answer)

    seen = await by_any_way(source.client, output.id, output.url, look, source.timings)
    return None if isinstance(seen, Refused) else seen[0]


def _earlier(folder: Path) -> dict[str, list[Path]]:
    """Files that may be outputs from an earlier time, by their names without number and ending."""
    earlier: dict[str, list[Path]] = {}
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)):
        if (match := _KEPT_NAME.fullmatch(name)) and match[2] in ENDINGS:
            for stem in {match[1], name[: -len(match[2]) - 1]}:  # a stem may itself end in a number
                earlier.setdefault(stem, []).append(folder / name)
    return earlier


def _verified(path: Path, output: Output, *, decode: bool) -> str:
    """The ending for a loaded file, after a look at its bytes; only pictures are read whole. Raises BlobDamaged."""
    with open(path, "rb") as file:
        content = file.read(HEAD)
        kind = sniff(content)
        if output.kind == IMAGE:
            content += file.read()
    verify(content, output, decode=decode)
    return ending_for(output, kind)


def make_folder(folder: Path) -> None:
    """Make a folder and see that files can be put there (touches the disk). Raises DownloadTrouble."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise in_words(error, folder) from error


def _write_text(folder: Path, stem: str, output: Output, earlier: Sequence[Path]) -> KeptOutput:
    """Words as a text file; one that holds the same is kept. Raises DownloadTrouble."""
    content = output.text.encode("utf-8", "replace")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        for path in earlier:
            if path.read_bytes() == content:
                return KeptOutput(output, THERE, path, len(content), sha256)
        names = (f"{stem}{f'-{number}' if number > 1 else ''}.txt" for number in range(1, _MOST_NAMES))
        return KeptOutput(output, NEW, place_new(folder, names, content), len(content), sha256)
    except OSError as error:
        raise in_words(error, folder) from error


def safe_part(name: str) -> str:
    """A part of a file's name: letters, digits, dashes; at most 60 bytes, so that two of them fit in any name.

    assert safe_part("$0") == "0" and safe_part("../../etc") == "etc"
    """
    return safe_name(re.sub(r"[^\w-]+", "_", name).strip("_"), longest=_LONGEST_PART).replace(".", "_")


def _name(part: Path, folder: Path, stem: str, ending: str) -> Path:
    """Give a finished file the first of its names that is free. Raises DownloadTrouble."""
    try:
        for number in range(1, _MOST_NAMES):
            target = folder / f"{stem}{f'-{number}' if number > 1 else ''}.{ending}"
            try:
                put_in_place(part, target)
                return target
            except FileExistsError:
                continue
    except OSError as error:
        raise in_words(error, folder) from error
    raise DownloadTrouble(f"{folder} has no name left for {stem}.{ending}.")
