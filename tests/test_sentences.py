"""What the server can write to the page, in the page's languages: web/sentences/<language>.json holds every sentence
that the source can make, and none that it cannot."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from sentence_source import literals, raised, sentences, shape

from pack.civitai_bridge.wording import at_a_graph, command

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "civitai_bridge"
TABLES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (ROOT / "web" / "sentences").iterdir()}

# Whose sentences no route sends to the page: those of shells and of the sandbox, and what stands in a node's report, which
# is the same text for the page and for who reads it from the API.
NOT_THE_PAGES = {"cli", "sandbox", "metadata", "workflows"}
_ALL = frozenset({"*"})
# The same of single modules, or of functions, classes and tables in them.
NOT_SHOWN: dict[str, frozenset[str]] = {
    # the index, scans, lists and removals of the shell; nodes' reports
    "catalog/answers.py": _ALL,
    "catalog/entries.py": frozenset({"file_line", "_BARE"}),
    "catalog/identify.py": _ALL,
    "catalog/loader_names.py": frozenset({"_beaten", "_how"}),
    "catalog/local_file.py": _ALL,
    "catalog/promote.py": _ALL,
    "catalog/query.py": _ALL,
    "catalog/remove.py": _ALL,
    "catalog/service.py": _ALL,
    "graphs/opened.py": frozenset({"open_graph_text"}),
    "model_files/file_rows.py": _ALL,
    "model_files/hash_pool.py": frozenset({"HashPool"}),
    "website/image_data.py": _ALL,
    "website/report.py": _ALL,
    # what nodes and shells tell while they work, and the report when they have
    "network/retries.py": _ALL,
    "orchestration/hand_over.py": _ALL,
    "orchestration/ledger.py": _ALL,
    "orchestration/purchase.py": _ALL,
    "orchestration/report.py": frozenset(
        "TWINS twins twin_of cancelled_unknown cancel_answer charged_more paid what_came not_tagged last_line waiting "
        "looking_for_order waits_for_turn count_pictures place_of estimate".split()
    ),
    "orchestration/run.py": frozenset({"PurchaseRun"}),
    "orchestration/saving.py": _ALL,
    "orchestration/services.py": _ALL,
    "orchestration/submit.py": _ALL,
    "orchestration/wait.py": _ALL,
    "orchestration/watcher.py": _ALL,
    # what only a room on CivitAI's side reads, and the page has words of its own for
    "link/command.py": _ALL,
    "link/state.py": frozenset({"_SENTENCES", "LinkState"}),
    # pictures that are not shown, members of answers that the page does not look at
    "routes/collecting.py": frozenset({"_saved"}),
    "routes/image_answer.py": _ALL,
    "routes/preview.py": _ALL,
    "settings.py": frozenset({"Settings"}),
    # no sentences
    "graphs/fingerprint.py": _ALL,
    "model_files/architecture.py": _ALL,
    "model_files/progress.py": frozenset({"DownloadProgress"}),
    "network/background.py": _ALL,
    "resources/ecosystems.py": _ALL,
    "wording.py": _ALL,
}
# Words in the rest that are SQL, types, words of others' answers that are looked for, or for programmers and logs.
NO_SENTENCES = frozenset(
    {
        *("'' AS body", "WHERE state IN ({})", "{} ORDER BY created, rowid", "number, at, sentence, answer"),
        *("no such column", "no such column: {}", "No space", "unable to open", "tuple[Opened, str]"),
        *("private network", "name or service", "unusual amount", "early access", "do not have access"),
        *(
            "missing model file",
            "disabled downloads",
            "Bearer {}",
            "{} catalog token",
            "{} -m pip install -r requirements.txt",
        ),
        *("a path begins with /: anything else could name another host", "a workflow is a JSON object"),
        *("Looking up the model on CivitAI", "Asking the price", "Reserving {} Buzz", "There is no queue."),
        *("{} asked for a pause; it goes on in {} s", "{} was not asked; it is no longer wanted."),
    }
)

PARTS = frozenset({"{} in {}.", "It says: {}.", "There are: {}."})  # end a longer sentence, and stand nowhere alone


def shown() -> dict[str, str]:
    """The shape of every sentence that may come to the page, with the module that makes it."""
    shapes: dict[str, str] = {}
    for file in sorted(LIBRARY.rglob("*.py")):
        module = file.relative_to(LIBRARY).as_posix()
        left_out = NOT_SHOWN.get(module, frozenset())
        if module.split("/")[0] in NOT_THE_PAGES or left_out == _ALL:
            continue
        for place, text in sentences(file):
            if place not in left_out and shape(text) not in NO_SENTENCES:
                shapes[shape(text.strip())] = module
    for file in sorted((ROOT / "nodes").rglob("*.py")):
        shapes |= {shape(text): file.name for _, text in raised(file) if shape(text) not in NO_SENTENCES}
    return shapes


def at_the_page(text: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What a sentence can read as when it comes to the page: with this install's command, and as to where the key is."""
    called = f"`{command()} "
    written = {text}
    for variable in ("", "CIVITAI_API_TOKEN"):
        for name in ("CIVITAI_API_TOKEN", "CIVITAI_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        if variable:
            monkeypatch.setenv(variable, "a key")
        written.add(at_a_graph(text).replace(called, "`civitai-bridge "))
    variable = re.compile(r"environment variable CIVITAI_API_TOKEN")
    return {
        shape(variable.sub("environment variable {}", each).replace("`civitai-bridge ", "`{} ")) for each in written
    }


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return shown()


def test_there_is_a_table_for_every_language_but_english():
    assert sorted(TABLES) == sorted({folder.name for folder in (ROOT / "locales").iterdir()} - {"en"})


@pytest.mark.parametrize("language", sorted(TABLES))
def test_every_sentence_that_may_come_to_the_page_is_in_the_table(language, sources, monkeypatch):
    known = {shape(text) for text in TABLES[language]}
    lacking = [
        f"{module}: {form}"
        for text, module in sources.items()
        for form in at_the_page(text, monkeypatch)
        if form not in known
    ]
    assert not lacking, "put them into web/sentences (or, where no page shows them, into NOT_SHOWN here)"
    assert len(sources) > 700


@pytest.mark.parametrize("language", sorted(TABLES))
def test_the_table_holds_nothing_that_the_source_does_not_write(language, monkeypatch):
    written: set[str] = set()
    for file in (*LIBRARY.rglob("*.py"), *(ROOT / "nodes").rglob("*.py")):
        for _, text in literals(file):
            text = shape(text.strip())
            written |= at_the_page(text, monkeypatch) if "`" in text or "API key" in text else {text}
    assert not [text for text in TABLES[language] if shape(text) not in written]


@pytest.mark.parametrize("language", sorted(TABLES))
def test_a_translation_has_the_places_of_its_sentence_and_words_of_its_own(language):
    table = TABLES[language]
    assert all(sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", own)) for text, own in table.items())
    assert all(len(set(names)) == len(names) for names in (re.findall(r"{\w+}", text) for text in table))
    assert not [text for text, own in table.items() if own.strip() == text.strip()]
    assert not [text for text in table if re.match(r"[A-Z{].* .*\.$", text) and not _can_stand(text)], "reword them"
    if language.startswith("zh"):
        assert not [own for own in table.values() if not re.search("[\u4e00-\u9fff]", own) and "{" not in own]


def _can_stand(text: str) -> bool:
    """Whether the page knows a sentence by its own letters (LEAST in web/lib/sentences.mjs), or by words that it knows."""
    own, places = re.sub(r"{\w+}|[^A-Za-z]", "", text), re.findall(r"{(\w+)}", text)
    return (
        not places
        or len(own) >= 9
        or shape(text) in PARTS
        or all(re.match("sentence|words", place) for place in places)
    )


def test_what_is_left_out_is_still_in_the_source():
    for module, names in NOT_SHOWN.items():
        present = {place for place, _ in literals(LIBRARY / module)}
        assert names == _ALL or not names - present, module
    written = {
        shape(text) for file in (*LIBRARY.rglob("*.py"), *ROOT.glob("nodes/**/*.py")) for _, text in literals(file)
    }
    assert not NO_SENTENCES - written
