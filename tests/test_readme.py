"""Every command of the README and of `docs/` runs as it stands there, and what they name is there."""

from __future__ import annotations

import argparse
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pack_root import ROOT
from sandbox_ports import sandbox_with_ports_in_a_row

from pack.civitai_bridge.cli import build_parser, main
from pack.civitai_bridge.sandbox import Embedded
from pack.civitai_bridge.settings import SETTINGS

PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
BLOCKS = [block for text in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", text, re.S)]
LINES = [line for block in BLOCKS for line in block.splitlines()]
COMMANDS = list(dict.fromkeys(line for line in LINES if line.startswith("civitai-bridge ")))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Embedded]:
    made = sandbox_with_ports_in_a_row()
    yield made
    made.stop()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_runs(
    command: str, sandbox: Embedded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picture.png").write_bytes((ROOT / "docs" / "demo.jpg").read_bytes())  # a person has one
    template = ROOT / "example_workflows" / "CivitAI image to the fleet.json"
    (tmp_path / "workflow.json").write_bytes(template.read_bytes())
    monkeypatch.setenv("CIVITAI_ORCHESTRATION_URL", sandbox.sandbox.orchestration_url)
    monkeypatch.setenv("CIVITAI_SITE_URL", sandbox.sandbox.site_url)
    if "login" not in command:
        monkeypatch.setenv("CIVITAI_API_TOKEN", "a-key")
    monkeypatch.setattr(sys, "stdin", io.StringIO("a-key\n"))
    assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err


def test_the_targets_are_the_makefiles():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)`", "".join(PAGES.values())):
        assert re.search(rf"^.*\b{target}\b.*:", makefile, re.M), target
    assert len(COMMANDS) >= 15


def test_no_line_of_a_block_is_something_that_nobody_tries():
    assert [line for line in LINES if not line.startswith(("civitai-bridge ", "make "))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_it_links_to_is_there(page: Path):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", PAGES[page]):
        assert (page.parent / target).is_file(), target
    for path in re.findall(r"`((?:tests|civitai_bridge|tools|nodes|docs)/[\w/]+\.\w+)`", PAGES[page]):
        assert (ROOT / path).is_file(), path


def commands_of(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, by its words."""
    families = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not families:
        yield name, parser
    for family in families:
        for word, command in family.choices.items():
            yield from commands_of(command, f"{name} {word}".strip())


def test_every_command_option_setting_and_variable_is_named():
    page = PAGES[ROOT / "docs" / "command-line.md"]
    for name, command in commands_of(build_parser()):
        assert f"`{name}" in page, name
        for action in command._actions:
            if action.option_strings and action.help != argparse.SUPPRESS and action.dest != "help":
                assert f"| `{name}` | `{' '.join(action.option_strings)}` |" in page, (name, action.option_strings)
    for setting in SETTINGS:
        assert f"| `{setting}` |" in page, setting
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "civitai_bridge").rglob("*.py"))
    lines = (line for text in sources for line in text.splitlines() if "environ" in line or "names = (" in line)
    asked = {name for line in lines for name in re.findall(r"[\"'](CIVITAI_[A-Z_]+)[\"']", line)}
    assert len(asked) >= 8
    for variable in sorted(asked):
        assert f"`{variable}`" in page, variable


def test_what_the_readme_shows_of_commands_is_what_they_print():
    """docs/workflows.md is compared with the commands themselves."""
    shown = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    assert len(shown) >= 4 and all(block in page for block in shown)
