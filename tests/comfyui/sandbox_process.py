"""A sandbox as a process of its own: prints its addresses as JSON, then serves until it is ended."""

import asyncio
import contextlib
import json
import random
import sys

sys.path.insert(0, sys.argv[1])

from civitai_bridge.errors import BadSetting
from civitai_bridge.sandbox import Sandbox


async def main() -> None:
    while True:  # three ports in a row, so that the server finds the storage beside the site
        with contextlib.suppress(BadSetting):
            async with Sandbox(port=random.randrange(20_000, 32_000), pace=0.4) as sandbox:
                addresses = {"orchestration_url": sandbox.orchestration_url, "site_url": sandbox.site_url}
                print(json.dumps(addresses), flush=True)
                await asyncio.Event().wait()


asyncio.run(main())
