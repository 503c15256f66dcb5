"""Types of the wire and a room's resource, as values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pack.civitai_bridge.errors import BadInput
from pack.civitai_bridge.link.kinds import (
    FOLDERS,
    echoed,
    endings_of,
    kept_fields,
    listed_type,
    read_resource,
    read_resources,
    site_type,
)

SHA = "AB" * 32


@pytest.mark.parametrize("written, meant", [
    ("lora", "LORA"), ("LORA", "LORA"), (" Locon ", "LoCon"), ("dora", "DoRA"), ("hypernet", "Hypernetwork"),
    ("checkpoint", "Checkpoint"), ("EMBEDDING", "TextualInversion"), ("vae", "VAE"), ("controlnet", "Controlnet"),
    ("diffusion_model", "UNet"), ("Poses", ""), ("../x", ""), (None, ""), (7, ""),
])  # fmt: skip
def test_types_are_known_in_any_case_and_by_the_documents_names(written: object, meant: str):
    assert site_type(written) == meant


@pytest.mark.parametrize("folder, name", [
    ("loras", "LORA"), ("checkpoints", "Checkpoint"), ("diffusion_models", "UNet"), ("embeddings", "TextualInversion"),
    ("text_encoders", "TextEncoder"), ("upscale_models", "Upscaler"), ("custom_nodes", ""),
])  # fmt: skip
def test_what_is_listed_is_what_may_be_removed_as_that_type(folder: str, name: str):
    assert listed_type(folder) == name and (not name or folder in FOLDERS[name])


def test_only_a_config_is_a_yaml_file():
    assert endings_of("CheckpointConfig") == (".yaml", ".yml")
    assert all(".yaml" not in endings_of(name) for name in FOLDERS if name != "CheckpointConfig")


@pytest.mark.parametrize("url", ["https://localhost/x", "https://127.0.0.1/x", "https://[::1]/x", "https://0x7f.1/x"])
def test_this_machine_is_no_address_for_a_room_unless_a_sandbox_stands_in(url: str):
    with pytest.raises(BadInput):
        read_resource({"hash": SHA, "type": "LORA", "url": url}, site_url="https://civitai.com")
    sandbox = "http://127.0.0.1:8000"
    assert read_resource({"hash": SHA, "type": "LORA", "url": "http://127.0.0.1:8002/x"}, site_url=sandbox)


def test_the_two_forms_of_a_command_and_one_hash_twice():
    one, two = {"hash": SHA, "type": "LORA"}, {"hash": "cd" * 32, "type": "vae"}
    assert [each.type for each in read_resources({"resource": one})] == ["LORA"]
    assert [each.type for each in read_resources({"resources": [one, two, dict(one)]})] == ["LORA", "VAE"]
    for fields in ({}, {"resources": []}, {"resources": "x"}, {"resources": [one, None]}, {"resources": [one] * 101}):
        with pytest.raises(BadInput):
            read_resources(fields)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("hash", "type", "name", "url", "x")), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"resource": [], "resources": [{"hash": None, "name": "0"}]})
@given(st.dictionaries(st.sampled_from(("resource", "resources", "x")), _JSON))
def test_whatever_a_room_sends_is_read_or_refused_and_can_be_repeated(fields: dict[str, Any]):
    echo = echoed(fields)
    assert isinstance(echo["resource"], dict) and "url" not in str(echo.keys())
    assert echoed(kept_fields(fields))["resource"] == echo["resource"]  # as after a restart
    try:
        resources = read_resources(fields)
    except BadInput as error:
        assert str(error).endswith(".")
    else:
        assert all(len(each.hash) == 64 for each in resources)
