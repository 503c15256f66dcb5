"""The whole handler: a command goes in, one message with pictures comes out, or a sentence."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_room import Room, base64_of, opened, png
from PIL import Image

from pack.civitai_bridge.errors import BadInput, GenerationTrouble
from pack.civitai_bridge.link.commands import HANDLERS
from pack.civitai_bridge.link.images.graph import MakeJob
from pack.civitai_bridge.link.images.results import LARGEST_MESSAGE, Fitting

PARAMS = {"prompt": "a cat", "negativePrompt": "bad", "sampler": "Euler a", "steps": 3, "width": 64, "height": 64}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path)
    made.model = made.put("checkpoints/model.safetensors", "sd1")  # type: ignore[attr-defined]
    made.look()
    return made


def noise(size: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


def test_both_commands_are_in_the_table():
    assert {"image:txt2img", "image:img2img"} <= HANDLERS.keys()


async def test_pictures_come_with_the_seed_and_the_values_that_made_them(room: Any):
    answer = await room.ask(model=room.model, quantity=2, params={**PARAMS, "seed": -1})
    assert [opened(text).size for text in answer["images"]] == [(64, 64)] * 2
    assert answer["params"] == {**PARAMS, "sampler": "Euler a Normal", "seed": 4242, "cfgScale": 7.0}
    assert answer["notes"] == [] and room.progress == [50.0]
    assert room.log == ["2 × model.safetensors: a cat"]


async def test_two_equal_commands_are_two_jobs_for_core(room: Any):
    for _ in range(2):
        await room.ask(model=room.model, params=PARAMS)
    first, second = (job.graph for job in room.jobs)
    assert first["7"]["class_type"] == "PreviewImage" and first != second
    assert {**first, "7": None} == {**second, "7": None}


@pytest.mark.parametrize("off", [{"link_generate": False}])
async def test_nothing_is_made_where_the_person_does_not_allow_it(room: Any, off: dict[str, Any]):
    room.settings = replace(room.settings, **off)
    with pytest.raises(BadInput, match="its setting link_generate is off"):
        await room.ask(model=room.model, params=PARAMS)
    assert not room.jobs


async def test_an_agent_without_comfyui_makes_none(room: Any):
    room.generate = None
    with pytest.raises(BadInput, match="runs without one"):
        await room.ask(model=room.model, params=PARAMS)


async def test_eight_pictures_that_pack_badly_fit_into_one_message(room: Any):
    room.pictures = lambda job: [noise((256, 256))] * 8
    answer = await room.ask(model=room.model, quantity=8, params=PARAMS)
    assert len(json.dumps(answer)) < LARGEST_MESSAGE and len(answer["images"]) == 8
    assert opened(answer["images"][0]).format == "WEBP" and len(answer["notes"]) == 8


def test_a_picture_is_sent_as_it_is_where_it_has_room_and_smaller_only_where_it_has_none():
    picture = Image.open(io.BytesIO(noise((128, 128)))).convert("RGB")
    sizes = {}
    for room_ in (200_000, 50_000, 20_000, 2_000, 0):
        fitting = Fitting(1, room_)
        made = opened(text := fitting.add(picture))
        sizes[room_] = (made.format, made.size, len(text) <= max(room_, 400), bool(fitting.notes))
    assert sizes[200_000] == ("PNG", (128, 128), True, False)
    assert sizes[50_000][:3] == sizes[20_000][:3] == ("WEBP", (128, 128), True)
    assert sizes[2_000][0] == "WEBP" and sizes[2_000][1] < (128, 128) and sizes[2_000][2]
    assert sizes[0][1] == (16, 16)


async def test_a_masked_edit_gives_the_picture_back_whole(room: Any):
    init = noise((120, 90))
    room.pictures = lambda job: [png((64, 64), "lime")]
    edit = {"initImage": base64_of(init), "maskImage": base64_of(png((120, 90), "black", box=(50, 40, 60, 50)))}
    answer = await room.ask("image:img2img", model=room.model, params={**PARAMS, **edit, "maskedOnly": True})
    made, original = np.asarray(opened(answer["images"][0])), np.asarray(Image.open(io.BytesIO(init)))
    differs = (made != original).any(axis=2)
    assert made.shape == original.shape and differs[40:50, 50:60].all() and differs.sum() == 100
    assert answer["params"]["maskedOnly"] is True and "initImage" not in answer["params"]
    assert "Only the masked part" in answer["notes"][-1]


async def test_a_picture_of_50_mb_and_an_image_bomb_never_reach_comfyui(room: Any):
    for text in ("A" * 50_000_000, base64_of(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)):
        with pytest.raises(BadInput, match="initImage"):
            await room.ask("image:img2img", model=room.model, params={**PARAMS, "initImage": text})
    assert not room.jobs


async def test_a_failure_of_comfyui_is_the_commands(room: Any):
    async def fail(make_job: MakeJob, tell: Any) -> list[bytes]:
        raise GenerationTrouble("This ComfyUI ran out of memory; ask for fewer or smaller pictures.")

    room.generate = fail
    with pytest.raises(GenerationTrouble, match="out of memory"):
        await room.ask(model=room.model, params=PARAMS)


async def test_a_cancel_reaches_comfyui(room: Any):
    stopped = asyncio.Event()
    started = asyncio.Event()

    async def wait(make_job: MakeJob, tell: Any) -> list[bytes]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return []

    room.generate = wait
    task = asyncio.ensure_future(room.ask(model=room.model, params=PARAMS))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
