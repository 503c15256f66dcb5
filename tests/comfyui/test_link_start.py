"""A server that was paired by a command in another process is in its room from its start."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import ROOT, Server, start
from test_generation_data import folders, safetensors

pytestmark = pytest.mark.timeout(600)
LORA, OTHER = 300001, 300003


class Page:
    """A page of the site in the sandbox's process, and the server in its room."""

    def __init__(self, server: Server) -> None:
        self.server, self.model = server, ""

    def do(self, **wish: Any) -> Any:
        return self.server.post(f"{self.server.sandbox}/sandbox/link", wish)

    def ask(self, kind: str, seconds: float = 60, **fields: Any) -> dict[str, Any]:
        """The final status of a command."""
        return self.wait(self.do(do="send", command={"type": kind, **fields})["id"], seconds)

    def wait(self, name: str, seconds: float = 60) -> dict[str, Any]:
        return self.do(do="wait", id=name, seconds=seconds)

    def state(self) -> dict[str, Any]:
        return self.do(do="state")

    def until(self, true: Any, seconds: float = 60) -> Any:
        ends = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < ends, self.state()
            time.sleep(0.2)
        return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    tmp = tmp_path_factory.mktemp("link")
    (tmp / "state").mkdir()
    (tmp / "state" / "settings.json").write_text('{"link_keep_free_gb": 0}', encoding="utf-8")

    def pair(environment: dict[str, str]) -> None:
        control = environment["CIVITAI_ORCHESTRATION_URL"]
        code = Server("", tmp, control, tmp).post(f"{control}/sandbox/link", {"do": "pair"})["code"]
        command = [sys.executable, "-m", "civitai_bridge", "link", "pair", code, "--wait", "30"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
        (tmp / "base" / "models" / "checkpoints" / "some.safetensors").write_bytes(safetensors({"weight": [[1.0]]}))

    for server in start(tmp, before=pair):
        yield (made := linked(server))
        assert made.state()["complaints"] == []
        assert "Traceback" not in server.log.read_text(encoding="utf-8", errors="replace")


def linked(server: Server) -> Page:
    """The page once the server is in its room and knows its files by their hashes."""
    page = Page(server)
    page.until(lambda: page.state()["linked"])
    checkpoint = folders(server) / "models" / "checkpoints" / "some.safetensors"
    page.model = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    page.until(lambda: any(each["hash"] == page.model for each in page.ask("resources:list")["resources"]), 60)
    return page


def test_the_server_was_in_its_room_from_its_start_and_its_key_is_nowhere_to_be_read(page: Page):
    key = (page.server.state / "link.json").read_text(encoding="utf-8").split('"key": "')[1][:128]
    assert len(key) == 128 and key not in page.server.log.read_text(encoding="utf-8", errors="replace")
    assert page.state()["presence"] == {"client": 1, "sd": 1}


def test_a_click_adds_lists_and_removes_a_model(page: Page):
    (name,) = page.do(do="add", versions=[LORA])["ids"]
    end = page.wait(name)
    assert end["status"] == "success", end
    file = folders(page.server) / "models" / "loras" / "storybookLight_v2.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == end["resource"]["hash"]
    listed = page.until(
        lambda: [
            row
            for row in page.state()["resources"]
            if row["hash"] == end["resource"]["hash"] and "downloading" not in row
        ]
    )
    assert listed[0]["path"] == "loras/storybookLight_v2.safetensors"
    assert "storybookLight_v2.safetensors" in str(page.server.get("/models/loras"))
    assert page.ask("resources:remove", resource={**listed[0], "modelName": "Storybook Light"})["status"] == "success"
    assert not file.exists() and "storybookLight" not in str(page.server.get("/models/loras"))


def test_the_documents_array_form_activities_and_both_cancels(page: Page):
    (name,) = page.do(do="add", versions=[LORA, OTHER], array=True)["ids"]
    end = page.wait(name)
    assert [row["status"] for row in end["resources"]] == ["success", "success"], end
    assert page.ask("activities:list", quantity=1)["activities"][0]["id"] == name
    assert page.ask("activities:cancel", activityId=name)["status"] == "error"
    assert page.ask("resources:add:cancel", resources=[{"type": "lora", "hash": "ab" * 32}])["status"] == "error"
    rows = [{"type": "lora", "hash": row["hash"]} for row in end["resources"]]
    removed = page.ask("resources:remove", resources=rows)
    assert [row["status"] for row in removed["resources"]] == ["success", "success"]
    assert page.ask("activities:clear")["activities"] == []
    assert page.ask("vault:open")["status"] == "error"
