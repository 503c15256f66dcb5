"""Hashes as CivitAI takes them, all from one reading."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.errors import FileChanged, FileTrouble
from pack.civitai_bridge.model_files.hashing import CRC32, EVERY, OPTIONAL, USUAL, digest_file

MEGA = 1024 * 1024
NOTHING = hashlib.sha256(b"").hexdigest()


def safetensors(header: object, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def expected(content: bytes) -> dict[str, str]:
    sha = hashlib.sha256(content).hexdigest()
    length = int.from_bytes(content[:8], "little")
    is_safe = len(content) > 8 and content[8:9] == b"{" and 2 <= length <= len(content) - 8
    return {
        "SHA256": sha,
        "AutoV1": hashlib.sha256(content[MEGA : MEGA + 65536]).hexdigest()[:8],
        "AutoV2": sha[:10],
        **({"AutoV3": hashlib.sha256(content[8 + length :]).hexdigest()[:12]} if is_safe else {}),
        "CRC32": f"{zlib.crc32(content):08x}",
    }


def pattern(size: int) -> bytes:
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


CONTENTS = {
    "nothing": b"",
    "three bytes": b"abc",
    "a length without a header": (5).to_bytes(8, "little"),
    "a header of 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "a header that ends with the file": safetensors({}),
    "one megabyte": pattern(MEGA),
    "a byte more": pattern(MEGA + 1),
    "half the AutoV1 block": pattern(MEGA + 32768),
    "past the AutoV1 block": pattern(MEGA + 65536 + 7),
    "several pieces": safetensors({"__metadata__": {"a": "b"}}, pattern(5 * MEGA + 13)),
    "a header of several pieces": safetensors({"x" * (2 * MEGA): 1}, pattern(MEGA)),
    "whole chunks": pattern(4 * MEGA),
}


@pytest.mark.parametrize("two_threads", [False, True])
@pytest.mark.parametrize("name", CONTENTS)
def test_every_hash_covers_the_bytes_that_the_site_says(name: str, two_threads: bool, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENTS[name])
    taken = digest_file(path, kinds=EVERY, two_threads=two_threads).by_kind()
    taken.pop("BLAKE3", None)
    assert taken == expected(CONTENTS[name])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=4000), size=st.integers(1, 700), two_threads=st.booleans())
def test_chunks_of_any_size_give_the_same_hashes(content: bytes, size: int, two_threads: bool, tmp_path: Path):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    taken = digest_file(path, kinds={CRC32}, two_threads=two_threads, chunk_size=size).by_kind()
    assert taken == expected(content)


def test_a_small_file_has_the_autov1_of_nothing(tmp_path: Path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"x" * 100)
    taken = digest_file(path)
    assert (taken.autov1, taken.autov3, taken.crc32, taken.blake3) == (NOTHING[:8], "", "", "")


def test_blake3_is_taken_where_the_package_is_there(tmp_path: Path):
    optional = {**OPTIONAL, "BLAKE3": hashlib.sha512}
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert digest_file(path, kinds={"BLAKE3"}, optional=optional).blake3 == hashlib.sha512(b"abc").hexdigest()
    assert digest_file(path, kinds=USUAL, optional=optional).blake3 == ""


def test_a_file_is_read_once(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(pattern(3 * MEGA))
    seen: list[int] = []
    digest_file(path, kinds=EVERY, two_threads=True, on_chunk=seen.append)
    assert sum(seen) == 3 * MEGA


@pytest.mark.parametrize("change", ["longer", "same size", "replaced", "shorter"])
def test_a_file_that_changes_while_it_is_hashed_is_noticed(change: str, tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(pattern(2 * MEGA))
    os.utime(path, ns=(1, 1))

    def write(_: int) -> None:
        match change:
            case "longer":
                path.write_bytes(pattern(2 * MEGA) + b"!")
            case "same size":
                path.write_bytes(pattern(2 * MEGA))
            case "shorter":
                os.truncate(path, MEGA)
            case _:
                other = tmp_path / "y"
                other.write_bytes(pattern(2 * MEGA))
                os.utime(other, ns=(1, 1))
                os.replace(other, path)

    with pytest.raises(FileChanged, match="changed while"):
        digest_file(path, on_chunk=write)


def test_whoever_watches_may_break_off(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(pattern(2 * MEGA))

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digest_file(path, two_threads=True, on_chunk=stop)


def test_what_is_not_there_or_no_file_is_said(tmp_path: Path):
    with pytest.raises(FileTrouble, match="not there"):
        digest_file(tmp_path / "none")
    with pytest.raises(FileTrouble):
        digest_file(tmp_path)
