"""A sandbox as a process of its own: prints its addresses as JSON, then serves until it is ended."""

import asyncio
import json
import sys

sys.path.insert(0, sys.argv[1])

from civitai_bridge.sandbox import Sandbox


async def main() -> None:
    async with Sandbox(pace=0.4) as sandbox:
        addresses = {"orchestration_url": sandbox.orchestration_url, "site_url": sandbox.site_url}
        print(json.dumps(addresses), flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
