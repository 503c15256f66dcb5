"""Where outputs stand in a step's answer, by the contract, by recorded answers and by older descriptions."""

from __future__ import annotations

from typing import Any

import pytest

from pack.civitai_bridge.workflows.outputs import outputs_of_step


def blob(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "available": True, "url": f"https://x/{name}?sig=s"} | more


CASES = [
    ("imageGen", {"images": [blob("A.jpeg"), blob("B.jpeg")], "errors": None}, ["image A.jpeg", "image B.jpeg"]),
    ("videoGen", {"video": blob("A.mp4"), "additionalVideos": [blob("B")]}, ["video A.mp4", "video B"]),
    ("videoGen", {"video": blob("A.mp4"), "draftCache": blob("D.png")}, ["video A.mp4", "file D.png"]),
    ("comfy", {"blobs": [blob("A.png"), blob("B.glb")]}, ["image A.png", "model3d B.glb"]),
    ("customComfy", {"blobs": [blob("A")], "tempBlobs": [blob("T.webp")]}, ["file A", "image T.webp"]),
    ("imageUpscaler", {"blob": blob("A.webp")}, ["image A.webp"]),
    ("imageBackgroundRemoval", {"image": blob("A")}, ["image A"]),
    ("imageToSvg", {"svg": blob("A")}, ["svg A"]),
    ("textToSpeech", {"audioBlob": blob("A"), "modelType": "x"}, ["audio A"]),
    ("aceStepAudio", {"blob": blob("A.mp3")}, ["audio A.mp3"]),
    ("videoFrameExtraction", {"frames": [blob("A"), blob("B")], "totalFramesExtracted": 2}, ["image A", "image B"]),
    ("polyGen", {"model": blob("A"), "thumbnail": blob("T"), "basicAnimations": {"walk": blob("W.fbx")}},
     ["model3d A", "image T", "model3d W.fbx"]),
    ("transcode", blob("A.webm", jobId="j"), ["video A.webm"]),
    ("blobArchive", {"url": "https://x/archive", "entryCount": 2, "format": "zip"}, ["archive "]),
    ("repeat", {"steps": [{"$type": "imageGen", "name": "i", "output": {"images": [blob("A")]}}]}, ["image A"]),
    ("old client", {"videos": [blob("V")], "blobId": "B1.png", "blobIds": ["B2.png", "B3"]},
     ["video V", "image B1.png", "image B2.png", "file B3"]),
    ("wdTagging", {"tags": {"1girl": 0.5, "sea": 0.9}, "rating": {"general": 0.9}}, ["text sea, 1girl", "text general"]),
    ("mediaCaptioning", {"caption": "a lighthouse"}, ["text a lighthouse"]),
    ("echo", {"message": "hello"}, ["text hello"]),
    ("promptEnhancement", {"issues": [], "enhancedPrompt": "better"}, ["text better"]),
    ("videoGen", {"externalTOSViolation": True, "message": "no"}, []),
    ("nothing", None, []),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "output", "expected"), CASES)
def test_every_place_of_an_output_is_read(type_: str, output: Any, expected: list[str]):
    outputs = outputs_of_step({"$type": type_, "name": "s", "output": output}, 0)
    assert [f"{each.kind} {each.text or each.id}" for each in outputs] == expected
    assert [each.index for each in outputs] == list(range(len(expected)))


def test_blobs_of_jobs_are_read_last_and_each_once():
    old = {"blobId": "A.png", "url": "https://x/A", "mimeType": "image/png", "durationMs": 1500, "nsfwLevel": 4}
    jobs = [{"id": "j", "result": {"blobs": [old, {"blobId": "V", "mimeType": "video/mp4", "url": "https://x/V"}]}}]
    of_jobs = outputs_of_step({"jobs": jobs}, 0)
    assert [(each.kind, each.id, each.step) for each in of_jobs] == [("image", "A.png", "$0"), ("video", "V", "$0")]
    assert (of_jobs[0].seconds, of_jobs[0].nsfw_level, of_jobs[0].available) == (1.5, "r", True)
    both = outputs_of_step({"output": {"images": [blob("A.png")]}, "jobs": jobs}, 0)
    assert [each.id for each in both] == ["A.png", "V"]


def test_what_cannot_be_had_says_why():
    images = [
        blob("A", available=False, url=None, blockedReason="ChildReference"),
        blob("B", blockedReason="none"),
        blob("C", available=False, url=None, blockedReason=None),
    ]
    withheld, there, absent = outputs_of_step({"output": {"images": images}}, 0)
    assert withheld.is_withheld and "child" in withheld.absence
    assert not there.is_withheld and there.absence == ""
    assert "not there" in absent.absence
    assert "sig" not in repr(there)
