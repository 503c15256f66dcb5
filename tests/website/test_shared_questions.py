"""The whole pack asks the site once: nodes of one prompt, of the next, and whoever else shares the account."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pack.civitai_bridge.app import App
from pack.civitai_bridge.network.client import HttpClient
from pack.civitai_bridge.orchestration.request import GenerationRequest
from pack.civitai_bridge.sandbox import Sandbox
from pack.civitai_bridge.settings import Settings


async def test_sixteen_estimates_of_one_model_look_it_up_once_across_prompts(tmp_path: Path):
    async with Sandbox() as sandbox, HttpClient() as network:
        settings = Settings(
            key="me", home=tmp_path, site_url=sandbox.site_url, orchestration_url=sandbox.orchestration_url
        )

        async def opened() -> HttpClient:
            return network

        app = App(opened, load=lambda: settings)
        try:
            for _ in range(2):
                fleet = await app.fleet()
                request = GenerationRequest(model="128078", prompt="a kite", width=512, height=512)
                await asyncio.gather(*(fleet.estimate(request) for _ in range(16)))
            asked = [seen.path for seen in sandbox.requests if seen.host == "site"]
            assert asked.count("/api/v1/model-versions/mini/128078") == 1 and len(asked) <= 2
            await asyncio.gather((await app.catalog()).resolve("128078"), fleet.resolve("128078"))
            asked = [seen.path for seen in sandbox.requests if seen.host == "site"]
            assert asked.count("/api/v1/model-versions/128078") == 1
        finally:
            await app.close()
