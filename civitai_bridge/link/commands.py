"""What a room may ask for: command type -> handler. Whatever stands here is run as a job: it is written down before it
begins, can be listed and cancelled, and ends in one final status. A type that stands nowhere is answered with an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from .add import add
from .command import Handler
from .images.command import IMG2IMG, TXT2IMG, generate_images
from .remove import remove

HANDLERS: Mapping[str, Handler] = {
    "resources:add": add,
    "resources:remove": remove,
    TXT2IMG: generate_images,
    IMG2IMG: generate_images,
}
# What the next process goes on with when this one is killed; the others end in an error then.
RESUMED = frozenset({"resources:add", "resources:remove"})
