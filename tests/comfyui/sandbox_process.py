"""A sandbox as a process of its own: prints its addresses as JSON, then serves until it is ended.

    python sandbox_process.py PACK [MORE]

MORE is a JSON file of versions and images that this site has besides: `{"versions": […], "images": […]}`, with the
members of models.json and images.json.
"""

import asyncio
import contextlib
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from civitai_bridge.errors import BadSetting
from civitai_bridge.sandbox import Sandbox
from civitai_bridge.sandbox.files import File
from civitai_bridge.sandbox.images import IMAGES, Image
from civitai_bridge.sandbox.models import VERSIONS, Version


def add(more: Path) -> None:
    """Versions and images of a JSON file."""
    document = json.loads(more.read_text(encoding="utf-8"))
    for row in document["versions"]:
        VERSIONS[row["id"]] = Version(**{**row, "uploaded": tuple(File(**file) for file in row["uploaded"])})
    for row in document["images"]:
        IMAGES[row["id"]] = Image(**{**row, "resources": tuple(map(tuple, row["resources"]))})


async def main() -> None:
    while True:  # four ports in a row, so that the server finds the storage beside the site
        with contextlib.suppress(BadSetting):
            async with Sandbox(port=random.randrange(20_000, 32_000), pace=0.4) as sandbox:
                addresses = {
                    "orchestration_url": sandbox.orchestration_url,
                    "site_url": sandbox.site_url,
                    "link_url": sandbox.link_url,
                }
                print(json.dumps(addresses), flush=True)
                await asyncio.Event().wait()


if len(sys.argv) > 2:
    add(Path(sys.argv[2]))
asyncio.run(main())
