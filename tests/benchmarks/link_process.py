"""One process of the rows about Civitai Link.  link_process.py CONFIG

CONFIG is JSON: home, models, the sandbox's four addresses, `code` to pair with, or `download`: a hash to load as our
own download does, whose seconds are printed. Else it prints the memory (MB) that it has before the agent is opened,
and is the agent until it is ended."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from civitai_bridge.app import App, ModelFolders
from civitai_bridge.link.pairing import PairingFile
from civitai_bridge.model_files.folders import folders_below
from civitai_bridge.network.client import HttpClient
from civitai_bridge.settings import Settings


def resident() -> float:
    """MB of memory that this process holds."""
    with open("/proc/self/status") as source:
        return next(int(line.split()[1]) for line in source if line.startswith("VmRSS")) / 1024


async def main(config: dict[str, str]) -> None:
    """Open the pack as a server does, then do what CONFIG says."""
    models = Path(config["models"])
    settings = Settings(key="bench", home=Path(config["home"])).at(
        orchestration_url=config["orchestration_url"], site_url=config["site_url"], link_url=config["link_url"]
    )
    async with HttpClient() as network:
        network.allow_loopback(config["storage_url"])

        async def its_network() -> HttpClient:
            return network

        folders = ModelFolders(lambda: folders_below(models), models)
        app = App(its_network, load=lambda: settings, folders=lambda _: folders)
        catalog = await app.catalog()
        if config.get("download"):
            start = time.perf_counter()
            await catalog.download(config["download"])
            print(time.perf_counter() - start, flush=True)
        else:
            if config.get("code"):
                PairingFile(settings.home).enter(config["code"])
            gc.collect()
            print(resident(), flush=True)
            agent = await app.link()
            await agent.run()
        await app.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
