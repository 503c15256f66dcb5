"""What a room reads of an error."""

from __future__ import annotations

import pytest

from pack.civitai_bridge.errors import BadSetting, CatalogDamaged, DownloadRefused, FileTrouble, NoRoom, StateTrouble
from pack.civitai_bridge.link.words import LONGEST, room_sentence, without_own_affairs


@pytest.mark.parametrize("text", [
    "/srv/me/models/loras has 0.1 GB free.", "The file C:\\Users\\me\\x.safetensors is locked.",
    "See /srv/me/my models/x y.safetensors now", "'/srv/x/y' is away", "\\\\server\\share\\x is away", "~/models/x is away",
    "https://me:pass@storage.example/x?X-Amz-Signature=abc said no", "key 0123456789 was refused", "z" + "ab" * 64 + " leaked",
])  # fmt: skip
def test_no_path_no_address_and_no_key_is_left(text: str):
    words = without_own_affairs(text, secrets=("0123456789",), folders=("/srv/me/models", "/"))
    for part in ("home", "Users", "srv", "server", "models/", "Amz", "pass", "0123456789", "abab"):
        assert part not in words, words


def test_sentences_without_such_things_stay_as_they_are():
    for text in (
        "The file has 12.50 GB, more than 20 allows.",
        "Width/height of 1/2 and 3:4 are fine.",
        "It is a LORA, not a VAE.",
    ):
        assert without_own_affairs(text) == text


@pytest.mark.parametrize("error", [
    BadSetting("settings.json in /x is damaged"), StateTrouble("/x/link.sqlite3 is locked"), CatalogDamaged("/x", path="/x"),
    FileTrouble("/x/y cannot be read"),
])  # fmt: skip
def test_what_is_this_machines_own_affair_is_not_told(error: Exception):
    sentence = room_sentence(error)  # type: ignore[arg-type]
    assert "/x" not in sentence and sentence.endswith("its log says why.")


def test_what_concerns_the_file_is_told_on_one_line_and_not_for_ever():
    assert room_sentence(DownloadRefused("x is\nin early access.")) == "x is in early access."
    assert room_sentence(NoRoom("/models/a has 1 GB free."), folders=["/models"]) == "the folder/a has 1 GB free."
    assert len(room_sentence(DownloadRefused("long " * 1000))) == LONGEST
