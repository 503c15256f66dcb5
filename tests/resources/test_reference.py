"""What people paste."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pack.civitai_bridge.errors import UnknownReference
from pack.civitai_bridge.resources.air import Air
from pack.civitai_bridge.resources.reference import (
    AirReference,
    FileReference,
    HashReference,
    ImageReference,
    ModelReference,
    PostReference,
    VersionReference,
    read_image_reference,
    read_reference,
)

SHA = "31E35C80FC4829D14F90153F4C74CD59C90B779F6AFE05A74CD6120B893F7E5B"
READS = [
    ("128078", VersionReference(128078)),
    (" 128078 ", VersionReference(128078)),
    ("12345678", VersionReference(12345678)),
    ("https://civitai.com/models/101055", ModelReference(101055)),
    ("https://civitai.com/models/101055/sd-xl", ModelReference(101055)),
    ("https://civitai.com/models/101055?modelVersionId=128078", VersionReference(128078)),
    ("https://civitai.com/models/101055/sd-xl?modelVersionId=128078#x", VersionReference(128078)),
    ("https://www.civitai.com/models/1?modelVersionId=2", VersionReference(2)),
    ("https://civitai.red/models/1?modelVersionId=2", VersionReference(2)),
    ("civitai.com/models/1?modelVersionId=2", VersionReference(2)),
    ("https://civitai.com/model-versions/128078", VersionReference(128078)),
    ("https://civitai.com/api/v1/model-versions/128078", VersionReference(128078)),
    ("https://civitai.com/api/v1/models/101055", ModelReference(101055)),
    ("https://civitai.com/api/download/models/128078?type=Model&format=SafeTensor", VersionReference(128078)),
    ("https://civitai.com/api/download/models/128078?fileId=77", VersionReference(128078, 77)),
    ("https://civitai.com/images/1234", ImageReference(1234)),
    ("https://civitai.com/posts/99", PostReference(99)),
    ("https://civitai.com/images/1234?postId=99&period=AllTime", ImageReference(1234)),
    ("https://civitai.red/images/1234", ImageReference(1234)),
    ("https://civitai.com/api/v1/images?imageId=1234&withMeta=true", ImageReference(1234)),
    ("https://civitai.com/api/v1/images?postId=99", PostReference(99)),
    (
        "https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA/0a1b2c3d-0000-4000-8000-aabbccddeeff/width=450/1234.jpeg",
        ImageReference(1234),
    ),
    ("image.civitai.com/token/0a1b2c3d-0000-4000-8000-aabbccddeeff/original=true/1234.mp4", ImageReference(1234)),
    (
        "urn:air:sdxl:checkpoint:civitai:101055@128078",
        AirReference(Air.parse("urn:air:sdxl:checkpoint:civitai:101055@128078")),
    ),
    ("101055@128078", AirReference(Air.parse("101055@128078"))),
    (SHA, HashReference(SHA.lower(), "SHA256 or BLAKE3")),
    ("31e35c80fc", HashReference("31e35c80fc", "AutoV2")),
    ("0x31e35c80fc", HashReference("31e35c80fc", "AutoV2")),
    ("e6bb9ea8", HashReference("e6bb9ea8", "AutoV1 or CRC32")),
    ("31e35c80fc48", HashReference("31e35c80fc48", "AutoV3")),
    ("https://civitai.com/api/v1/model-versions/by-hash/31e35c80fc", HashReference("31e35c80fc", "AutoV2")),
    ("9999999999", HashReference("9999999999", "AutoV2")),
    ("sd_xl_base_1.0.safetensors", FileReference("sd_xl_base_1.0.safetensors")),
    ("loras\\style\\x.safetensors", FileReference("x.safetensors")),
]
REFUSALS = [
    ("", "No model is named"),
    ("https://evil.example/models/1?modelVersionId=2", "not CivitAI"),
    ("https://civitai.com.evil.example/models/1", "not CivitAI"),
    ("https://evilcivitai.com/models/1", "not CivitAI"),
    ("https://civitai.com@evil.example/models/1", "not CivitAI"),
    ("https://civitai.com/user/somebody", "no model"),
    ("https://civitai.com/models/abc", "no id"),
    ("https://civitai.com/models/99999999999", "no id"),
    ("https://civitai.com:abc/models/1", "cannot be read"),
    (
        "https://image.civitai.com/t/0a1b2c3d-0000-4000-8000-aabbccddeeff/original=true/0a1b2c3d-0000-4000-8000-aabbccddeeff.jpeg",
        "address of its page",
    ),
    ("https://image.civitai.com/1234.jpeg", "address of its page"),
    ("https://image.civitai.com.evil.example/t/u/p/1234.jpeg", "not CivitAI"),
    ("https://image.civitai.red/t/u/p/1234.jpeg", "not CivitAI"),
    ("https://b2.civitai.com/file/x/1234.jpeg", "not CivitAI"),
    ("0", "no id"),
    ("a model I once saw", "names nothing"),
]


@pytest.mark.parametrize(("text", "reference"), READS, ids=[text[:60] for text, _ in READS])
def test_reads(text: str, reference: object):
    assert read_reference(text) == reference


@pytest.mark.parametrize(("text", "words"), REFUSALS, ids=[text[:40] for text, _ in REFUSALS])
def test_refusals(text: str, words: str):
    with pytest.raises(UnknownReference, match=words):
        read_reference(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str):
    try:
        read_reference(text)
    except UnknownReference:
        pass


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("1234", ImageReference(1234)),
        (" '12345678' ", ImageReference(12345678)),
        ("https://civitai.com/images/1234", ImageReference(1234)),
        ("civitai.red/posts/99", PostReference(99)),
    ],
)
def test_where_an_image_is_meant_a_number_is_its_id(text: str, reference: object):
    assert read_image_reference(text) == reference


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "No image is named"),
        ("0", "no id"),
        ("99999999999", "no id"),
        ("https://civitai.com/models/1", "names no image"),
        ("urn:air:sdxl:checkpoint:civitai:1@2", "names no image"),
        ("https://evil.example/images/1", "not CivitAI"),
        ("picture.png", "names nothing"),
    ],
)
def test_what_is_no_image_is_refused(text: str, words: str):
    with pytest.raises(UnknownReference, match=words):
        read_image_reference(text)
