"""The page's routes on a real ComfyUI server, asked as a browser on this machine asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

SALT = random.Random().randrange(2**40)
LORA = "300001"


class Page:
    """A page in a browser: its session, its client id, the events that reach it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, client: str) -> None:
        self.http, self.url, self.client = http, url, client
        self.headers = {"Origin": url, "Content-Type": "application/json"}
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(
            method, f"{self.url}/api/civitai_bridge{path}", headers=self.headers, **more
        ) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.read()

    async def get(self, path: str, **more: Any) -> Any:
        status, data = await self.ask("GET", path, **more)
        assert status == 200, data
        return data

    async def post(self, path: str, **body: Any) -> Any:
        status, data = await self.ask("POST", path, json=body)
        assert status == 200, data
        return data

    async def listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type == aiohttp.WSMsgType.TEXT:
                event = json.loads(message.data)
                self.events.append((event["type"], event.get("data") or {}))

    async def heard(self, event: str, **members: Any) -> dict[str, Any]:
        for _ in range(600):
            for kind, data in self.events:
                if kind == event and members.items() <= data.items():
                    return data
            await asyncio.sleep(0.1)
        raise AssertionError((event, members, [kind for kind, _ in self.events]))


@contextlib.asynccontextmanager
async def opened(comfyui: Any) -> AsyncIterator[Page]:
    client = uuid.uuid4().hex
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{comfyui.url}/ws?clientId={client}") as socket:
        page = Page(http, comfyui.url, client)
        status, given = await page.ask("POST", "/session", json={})
        if status == 200:
            page.headers["X-Civitai-Bridge-Session"] = given["session"]
        else:  # in a container the page asks for the admin token
            token = json.loads((Path(comfyui.state) / "credentials.json").read_text())["admin_token"]
            page.headers["Authorization"] = f"Bearer {token}"
        listening = asyncio.ensure_future(page.listen(socket))
        yield page
        listening.cancel()


async def test_a_graph_is_looked_at_agreed_to_and_its_progress_told(own_comfyui: Any):
    async with opened(own_comfyui) as page:
        inputs = {
            "model": "128078",
            "prompt": "a lighthouse",
            "seed": SALT,
            "width": 256,
            "height": 256,
            "max_buzz": 30,
        }
        prompt = {"1": {"class_type": "CivitaiBridgeGenerate", "inputs": inputs, "_meta": {"title": "Light"}},
                  "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}  # fmt: skip
        answer = await page.post("/graph", prompt=prompt, models="none")
        assert (answer["asks"], answer["most_buzz"], answer["paying"][0]["title"]) == (True, 30, "Light")
        await page.post("/consent", hash=answer["hash"], most_buzz=30)
        assert (await page.post("/graph", prompt=prompt, models="none"))["asks"] is False
        priced = await page.post("/price", prompt=prompt)
        assert priced["total"] == 1, priced
        body = {"prompt": prompt, "client_id": page.client}
        async with page.http.post(page.url + "/prompt", json=body) as queued:
            assert queued.status == 200
        done = await page.heard("civitai_bridge.job", phase="done")
        assert (done["node"], done["price"], done["progress"]) == ("1", 1, 1.0) and done["workflow_id"]
        account = await page.get("/account")
        assert account["spent_today"] == 1 and account["user"]["id"] and account["wallet"], account
        assert (await page.post("/collect"))["collected"] == []


async def test_a_missing_model_is_named_loaded_and_listed(own_comfyui: Any):
    async with opened(own_comfyui) as page:
        prompt = {"1": {"class_type": "CivitaiBridgeResolve", "inputs": {"reference": LORA}}}
        (model,) = (await page.post("/graph", prompt=prompt, models="asked"))["models"]
        assert model["missing"] and model["size"] and model["license"]["sentences"] and model["trigger_words"]
        begun = await page.post("/download", reference=model["reference"], client_id=page.client)
        done = await page.heard("civitai_bridge.download", id=begun["id"], status="done")
        listed = own_comfyui.get("/object_info/LoraLoaderModelOnly")["LoraLoaderModelOnly"]["input"]["required"][
            "lora_name"
        ]
        assert done["files"][0] in json.dumps(listed)
        loader = {"1": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": done["files"][0]}}}
        (model,) = (await page.post("/graph", prompt=loader))["models"]
        assert (model["here"], model["missing"], model["kind"]) == (True, False, "lora")


async def test_lists_settings_pastes_and_strangers(own_comfyui: Any):
    async with opened(own_comfyui) as page:
        inner = {"class_type": "CivitaiBridgeGenerate", "inputs": {"max_buzz": 3, "prompt": ["0", 0]}}
        batch = {"0": {"class_type": "RebatchImages", "inputs": {}}, "1": inner}
        plain = {"0": {"class_type": "PrimitiveString", "inputs": {"value": "x"}}, "1": inner}
        assert (await page.post("/graph", prompt=batch))["most_buzz"] == 1000, "core itself says what makes lists"
        assert (await page.post("/graph", prompt=plain))["most_buzz"] == 3
        pasted = await page.post("/paste", text="https://civitai.com/images/900002")
        known = own_comfyui.get("/object_info")
        for node in pasted["nodes"]:
            assert node["type"] in known
        assert (await page.post("/settings", name="limit_buzz_per_day", value=4000))["value"] == 4000
        status, answer = await page.ask("POST", "/settings", json={"name": "limit_buzz_per_day", "value": 6000})
        is_admin = "Authorization" in page.headers
        assert (status, answer.get("code")) == ((200, None) if is_admin else (403, "admin_needed"))
        status, _ = await page.ask("GET", "/preview", params={"url": "http://169.254.169.254/latest"})
        assert status == 400
        page.headers.pop("Authorization", None)
        page.headers["Origin"] = "https://evil.example"
        assert (await page.ask("POST", "/graph", json={"prompt": {}}))[0] in (401, 403)
