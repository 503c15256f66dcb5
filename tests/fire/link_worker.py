"""One process with the agent under fire, until it is killed or asked to end.  link_worker.py CONFIG.json

Its pauses are short; everything else is as `civitai-bridge link run` has it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pack_root import load_pack

load_pack("pack")

from pack.civitai_bridge.app import App, ModelFolders, Tuning  # noqa: E402
from pack.civitai_bridge.link.pairing import PairingFile  # noqa: E402
from pack.civitai_bridge.link.timings import LinkTimings  # noqa: E402
from pack.civitai_bridge.model_files.folders import folders_below  # noqa: E402
from pack.civitai_bridge.network.client import HttpClient  # noqa: E402
from pack.civitai_bridge.settings import Settings  # noqa: E402

PAUSES = LinkTimings(
    join=1.0, connect=3.0, first_pause=0.05, longest_pause=0.5, refused_pause=0.3, look=0.2, settle=0.05, progress=0.2
)


async def main(config: dict[str, str]) -> None:
    """Be the agent."""
    models = Path(config["models"])
    addresses = {name: config[name] for name in ("orchestration_url", "site_url", "link_url")}
    settings = Settings(key=config["key"], home=Path(config["home"]), link_keep_free_gb=0).at(**addresses)
    if config["code"]:
        PairingFile(settings.home).enter(config["code"])
    async with HttpClient() as network:
        network.allow_loopback(config["storage_url"])

        async def its_network() -> HttpClient:
            return network

        app = App(
            its_network,
            load=lambda: settings,
            folders=lambda _: ModelFolders(lambda: folders_below(models), models),
            tuning=Tuning(link=PAUSES),
        )
        agent = await app.link()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, agent.stop)
        try:
            await agent.run()
        finally:
            await agent.dispatcher.close()
            await app.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG)
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
