"""The page's words: complete in every language, and true to the nodes."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from pack.civitai_bridge.link.state import _SENTENCES, JOINED, LinkState

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "locales"
LANGUAGES = sorted(folder.name for folder in LOCALES.iterdir())
FILES = sorted(file.name for file in (LOCALES / "en").iterdir())
# The same word in every language: names, and what nobody translates.
UNTRANSLATED = {"Buzz", "Civitai", "CivitAI", "Bridge", "Link", "LoRA", "CLIP"}

_spec = importlib.util.spec_from_file_location("make_locales", ROOT / "tools" / "make_locales.py")
make_locales = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make_locales)


def texts(language: str, file: str) -> dict[str, str]:
    return dict(make_locales.leaves(json.loads((LOCALES / language / file).read_text(encoding="utf-8"))))


def test_there_is_english_and_chinese():
    assert {"en", "zh"} <= set(LANGUAGES)


def test_the_english_names_of_the_nodes_are_those_of_the_nodes():
    definitions = json.loads((ROOT / "tests" / "nodes" / "object_info.json").read_text(encoding="utf-8"))
    own = json.loads((LOCALES / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert own == make_locales.english(definitions), "run: python3 tools/make_locales.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_file_and_every_key(language):
    assert sorted(file.name for file in (LOCALES / language).iterdir()) == FILES
    for file in FILES:
        assert texts(language, file).keys() == texts("en", file).keys(), file


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_sentence_is_translated(language):
    """A text of several words that reads as the English does was forgotten, but for names and what is filled in."""
    for file in FILES:
        english = texts("en", file)
        same = [
            key
            for key, text in texts(language, file).items()
            if text == english[key] and " " in text and set(re.sub(r"{\w+}", "", text).split()) - UNTRANSLATED
        ]
        assert not same, f"{language}/{file}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_of_a_node_has_no_sign_that_the_page_takes_for_grammar(language):
    """The page's library reads { } @ | in a message as placeholders, links and plurals, and shows another text or none
    (https://vue-i18n.intlify.dev/guide/essentials/syntax). The page's own words use { } for what is filled in."""
    for file in FILES:
        if file == "main.json":
            continue
        for key, text in texts(language, file).items():
            assert not set("{}@|") & set(text), f"{language}/{file} {key}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_filled_into_a_text_is_the_same_in_every_language(language):
    for file in FILES:
        english = texts("en", file)
        for key, text in texts(language, file).items():
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[key])), f"{file} {key}"


def test_the_commands_are_called_alike_in_menus_and_on_the_page():
    for language in LANGUAGES:
        main, commands = texts(language, "main.json"), texts(language, "commands.json")
        assert {key.removeprefix("civitai_bridge_").removesuffix(".label"): text for key, text in commands.items()} == {
            key.rpartition(".")[2]: text for key, text in main.items() if key.startswith("civitai_bridge.commands.")
        }


def test_the_page_has_words_for_every_state_of_the_link_and_in_english_they_are_the_servers():
    """The page chooses them by the state's name; that every language has the same names is a test of its own. What to do
    where nothing is linked stands in the page's field for the code."""
    states = [LinkState(state).sentence for state in _SENTENCES]
    states += [LinkState(JOINED, browsers=1).sentence, LinkState(JOINED, is_pairing=True).sentence]
    words = {text for key, text in texts("en", "main.json").items() if ".link.state." in key}
    assert not {state for state in states if not state.startswith("Not linked. ")} - words and "Not linked." in words
    assert _SENTENCES.keys() <= set(
        json.loads((LOCALES / "en" / "main.json").read_text())["civitai_bridge"]["link"]["state"]
    )
