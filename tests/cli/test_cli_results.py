"""One piece of work, read and fetched by the commands, on a sandbox: every shape, what is missing, what was cut off."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("jsonschema")

from work_room import PICTURE, Shell, pictures, put, running

from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.sandbox.made import picture_json
from pack.civitai_bridge.sandbox.workflows import RETENTION

ORDER = (
    "generate",
    "--model",
    "128078",
    "--prompt",
    "a lighthouse at dusk",
    "--width",
    "64",
    "--height",
    "64",
    "--yes",
)
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("dialect", ["S", "S+"])
def test_a_bought_workflow_is_found_again_in_either_dialect(dialect: str, shell: Shell, sandbox: Sandbox):
    sandbox.script.switch("dialect", dialect)
    bought = shell(*ORDER, "--json").data
    seen = shell("workflow", bought["workflow_id"], "--json").data
    assert (seen["status"], seen["price"], seen["prompt"]) == ("succeeded", bought["cost"], "a lighthouse at dusk")
    assert seen["wallets"] == {"blue": bought["cost"]} and seen["more"] == {}
    assert bool(seen["steps"][0]["jobs"]) is (dialect == "S")
    step = shell("step", bought["workflow_id"], "$0", "--json").data
    assert step["outputs"][0]["id"] == seen["steps"][0]["outputs"][0]["id"]
    assert shell("results", bought["workflow_id"], "--download").code == 0
    assert "Job not found" in shell("job", "58de87d7-d594-4d71-ae43-dd8fc1bcbd23").err


def test_raw_is_the_services_own_text(shell: Shell, sandbox: Sandbox, key: str):
    output, files = pictures("A.png")
    name = put(sandbox, key, output, files, oddField={"näme": [1.50, "\u001b[31m"]})
    raw = shell("workflow", name, "--raw").raw
    assert b'"oddField": {"n\\u00e4me": [1.5, "\\u001b[31m"]}' in raw
    assert json.loads(shell("step", name, "gen", "--raw").raw)["name"] == "gen"
    assert json.loads(shell("blob", "A.png", "--raw").raw)["id"] == "A.png"
    assert shell("workflow", name, "--raw", "--json").raw.startswith(b"{")
    assert shell("workflow", name, "--json").data["more"] == {"oddField": {"näme": [1.5, "\x1b[31m"]}}
    assert "\x1b" not in shell("workflow", name).out


def test_the_wait_ends_as_the_workflow_does(shell: Shell, sandbox: Sandbox, key: str):
    late = shell("workflow", running(sandbox, key, math.inf), "--wait", "--timeout=0.05", "--json")
    assert late.code == 130 and late.data["is_over"] is False and "goes on" in late.err
    ended = shell("workflow", running(sandbox, key, 0.2), "--wait", "--timeout=30")
    assert ended.code == 0 and "succeeded" in ended.out
    for status in ("failed", "expired", "canceled", "deleted"):
        name = put(sandbox, key, {"errors": ["CUDA out of memory"]}, id=f"w-{status}-{key}", status=status)
        over = shell("workflow", name, "--wait")
        assert over.code == 1 and "CUDA out of memory" in over.out
        assert shell("workflow", name).code == 0
    odd = put(sandbox, key, {}, id=f"w-odd-{key}", status="pondering")
    assert shell("workflow", odd, "--wait", "--timeout=0.05").code == 130


def test_an_older_deployment_that_takes_no_seconds_is_asked_without(shell: Shell, sandbox: Sandbox, key: str):
    sandbox.script.switch("wait_refused", True)
    try:
        assert shell("workflow", running(sandbox, key, 0.2), "--wait", "--timeout=20").code == 0
    finally:
        sandbox.script.switch("wait_refused", False)


def test_a_job_that_is_for_the_staff_or_gone_names_what_shows_the_same(shell: Shell, sandbox: Sandbox):
    name = shell(*ORDER, "--json").data["workflow_id"]
    job = shell("workflow", name, "--json").data["steps"][0]["jobs"][0]["id"]
    shown = shell("job", job)
    assert shown.code == 0 and "** hive_csam_score: 0.00 %" in shown.out and f"Workflow ID: {name}" in shown.out
    assert shell("job", job, "--json").data["workflow_id"] == name
    assert json.loads(shell("job", job, "--raw").raw)["jobId"] == job
    for route in ("staff", "gone"):
        sandbox.script.switch("jobs_route", route)
        refused = shell("job", job)
        assert refused.code == 1 and "civitai-bridge workflow" in refused.err and "civitai-bridge step" in refused.err


def test_every_kind_of_result_is_fetched_under_a_safe_name(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    output, files = pictures("A.png")
    output |= {
        "video": {"id": "V.mp4", "available": True}, "svg": {"id": "S", "available": True}, "caption": "a sea",
        "blobs": [{"id": "../../evil.sh", "available": True}], "model": {"id": "M.glb", "available": True},
    }  # fmt: skip
    files |= {
        "V.mp4": (VIDEO, "video/mp4"), "S": (b"<svg xmlns='x'/>", "image/svg+xml"), "M.glb": (b"glTF123", "model/gltf"),
        "../../evil.sh": (b"#!/bin/sh\n", "text/x-sh"),
    }  # fmt: skip
    name = put(sandbox, key, output, files)
    listed = shell("results", name)
    assert "image A.png 64 x 64" in listed.out and "sig=" not in listed.out
    done = shell("results", name, "--download", "--json")
    assert done.code == 0, done.data
    got = files_in(tmp_path / "civitai-downloads")
    assert got == [f"{name}_gen_{n}" for n in ("0.png", "1.mp4", "2.svg", "3.bin", "4.glb", "5.txt")]
    assert (tmp_path / "civitai-downloads" / got[1]).read_bytes() == VIDEO
    assert done.data["outputs"][1]["sha256"] == hashlib.sha256(VIDEO).hexdigest()
    for blob, ending in (("V.mp4", "mp4"), ("S", "svg"), ("M.glb", "glb")):
        alone = shell("blob", blob, "--download", f"--dir={ending}", "--json")
        assert alone.code == 0 and alone.data["files"][0].endswith(f".{ending}"), alone.data
    again = shell("results", name, "--download", "--json").data
    assert {each["state"] for each in again["outputs"]} == {"there"}
    assert files_in(tmp_path / "civitai-downloads") == got


def test_a_file_that_is_another_thing_is_left_alone(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    output, files = pictures("A.png")
    name = put(sandbox, key, output, files)
    (tmp_path / "d").mkdir()
    mine = tmp_path / "d" / f"{name}_gen_0.png"
    mine.write_bytes(b"my own")
    for _ in range(2):
        assert shell("results", name, "--download", "--dir=d").code == 0
        assert mine.read_bytes() == b"my own"
        assert files_in(tmp_path / "d") == [f"{name}_gen_0-2.png", f"{name}_gen_0.png"]
        assert (tmp_path / "d" / f"{name}_gen_0-2.png").read_bytes() == PICTURE


def test_what_was_cut_off_goes_on_where_it_ended(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    name = put(sandbox, key, {"video": {"id": "V.mp4", "available": True}}, {"V.mp4": (VIDEO, "video/mp4")})
    for _ in range(3):
        sandbox.script.fault("content", "cut")
    cut = shell("results", name, "--download", "--json")
    assert cut.code == 1 and "broke off" in cut.data["outputs"][0]["missing"]
    (part,) = files_in(tmp_path / "civitai-downloads")
    assert part.endswith(".part") and 0 < (tmp_path / "civitai-downloads" / part).stat().st_size < len(VIDEO)
    sandbox.requests.clear()
    done = shell("results", name, "--download")
    assert done.code == 0
    asked = [
        seen.headers.get("range", seen.headers.get("Range")) for seen in sandbox.requests if seen.route == "content"
    ]
    assert asked[0] is not None and asked[0] != "bytes=0-"
    (file,) = files_in(tmp_path / "civitai-downloads")
    assert (tmp_path / "civitai-downloads" / file).read_bytes() == VIDEO


def test_bytes_that_are_no_picture_are_thrown_away(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    page = b"<!DOCTYPE html><html>no</html>"
    output, files = pictures("A.png", "B.png", "C.png")
    files |= {"A.png": (page, "text/html"), "B.png": (PICTURE[: len(PICTURE) // 2], "image/png")}
    name = put(sandbox, key, output, files)
    done = shell("results", name, "--download", "--json")
    missing = [each["missing"] for each in done.data["outputs"]]
    assert done.code == 0 and "page" in missing[0] and "cut off" in missing[1] and missing[2] == ""
    assert files_in(tmp_path / "civitai-downloads") == [f"{name}_gen_2.png"]


def test_what_is_missing_has_a_reason_each(shell: Shell, sandbox: Sandbox, key: str):
    output, files = pictures("A.png", "OLD.png")
    output["images"] += [
        picture_json("W.png", 64, 64) | {"available": False, "blockedReason": "ChildReference"},
        picture_json("N.png", 64, 64) | {"available": False},
    ]
    name = put(sandbox, key, output, files)
    sandbox.orchestrator.blobs["OLD.png"].renewed = time.time() - RETENTION - 5
    done = shell("results", name, "--download", "--json")
    assert done.code == 0 and [bool(each["file"]) for each in done.data["outputs"]] == [True, False, False, False]
    assert "child" in done.data["outputs"][2]["missing"] and "no longer kept" in done.data["outputs"][1]["missing"]
    assert "is missing" in shell("results", name, "--download").out
    nothing = put(sandbox, key, {"images": output["images"][2:]}, id=f"none-{key}")
    assert shell("results", nothing, "--download").code == 1
    assert "no results" in shell("results", put(sandbox, key, {}, id=f"empty-{key}", status="failed")).out


@pytest.mark.parametrize("signed", ["refused", "blocked"])
def test_the_key_never_goes_to_storage_and_signed_addresses_may_fail(
    signed: str, shell: Shell, sandbox: Sandbox, key: str
):
    output, files = pictures("A.png")
    name = put(sandbox, key, output, files)
    sandbox.script.switch("signed", signed)
    sandbox.script.switch("on_storage", True)
    try:
        assert shell("results", name, "--download").code == 0
        assert shell("blob", "A.png", "--download", "--nsfw").code == 0
    finally:
        sandbox.script.switch("signed", "")
        sandbox.script.switch("on_storage", False)
    fetched = [seen for seen in sandbox.requests if seen.route == "content"]
    assert fetched and all("authorization" not in {name.lower() for name in seen.headers} for seen in fetched)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root and Windows may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_before_anything_is_fetched(
    shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path
):
    name = put(sandbox, key, *pictures("A.png"))
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(stat.S_IRUSR | stat.S_IXUSR)
    refused = shell("results", name, "--download", "--dir=locked")
    assert refused.code == 1 and "may not be written" in refused.err
    assert not any(seen.route in ("blob", "content") for seen in sandbox.requests)


def test_a_folder_that_is_a_file_is_said(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    name = put(sandbox, key, *pictures("A.png"))
    (tmp_path / "file").write_text("mine")
    refused = shell("results", name, "--download", "--dir=file")
    assert refused.code == 1 and "file" in refused.err and (tmp_path / "file").read_text() == "mine"


def test_a_blob_is_looked_at_and_fetched_by_its_id(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    put(sandbox, key, *pictures("JNFDW54JNTATNW42HACYCWSQP0.png"))
    seen = shell("blob", "JNFDW54JNTATNW42HACYCWSQP0.png", "--json")
    assert seen.data["available"] and seen.data["nsfw_level"] == "pg"
    assert [each.method for each in sandbox.requests if each.route == "blob"] == ["HEAD"]
    assert "changes nothing" in shell("blob", "JNFDW54JNTATNW42HACYCWSQP0.png", "--nsfw").err
    assert shell("blob", "JNFDW54JNTATNW42HACYCWSQP0.png", "--download", "--dir", "b").code == 0
    assert files_in(tmp_path / "b") == ["JNFDW54JNTATNW42HACYCWSQP0.png"]
    sandbox.orchestrator.blobs["JNFDW54JNTATNW42HACYCWSQP0.png"].renewed = time.time() - RETENTION - 1
    gone = shell("blob", "JNFDW54JNTATNW42HACYCWSQP0.png", "--download")
    assert gone.code == 1 and "30 days" in gone.err


def test_a_megabyte_that_nobody_knows_is_kept_for_programs_and_cut_for_people(shell: Shell, sandbox: Sandbox, key: str):
    sandbox.script.switch("extra_bytes", 1_000_000)
    name = put(sandbox, key, *pictures("A.png"))
    assert len(shell("workflow", name, "--json").data["more"]["unknownField"]["text"]) == 1_000_000
    shown = shell("workflow", name).out
    assert len(shown) < 5_000 and "characters more; --json has them" in shown


def test_test_says_whose_the_key_is_where_it_comes_from_and_what_it_may_do(shell: Shell, sandbox: Sandbox):
    done: dict[str, Any] = shell("test", "--json").data
    assert done["key_from"] == "CIVITAI_API_TOKEN" and done["scopes"] == ["everything"] and done["user"].isdecimal()
    text = shell("test").out
    assert "CIVITAI_API_TOKEN" in text and sandbox.orchestration_url in text and sandbox.site_url in text
    own = shell("user", done["user"])
    assert own.code == 0 and "these are your own" in own.err


def test_what_civitai_no_longer_has_is_still_there(shell: Shell, sandbox: Sandbox, key: str, tmp_path: Path):
    output, files = pictures("A.png")
    output["video"] = {"id": "V.mp4", "available": True}
    name = put(sandbox, key, output, files | {"V.mp4": (VIDEO, "video/mp4")})
    assert shell("results", name, "--download").code == 0
    for blob in ("A.png", "V.mp4"):
        sandbox.orchestrator.blobs[blob].renewed = time.time() - RETENTION - 1
    later = shell("results", name, "--download")
    assert later.code == 0 and "was there, whole" in later.out and "was there, not compared" in later.out
    assert len(files_in(tmp_path / "civitai-downloads")) == 2
