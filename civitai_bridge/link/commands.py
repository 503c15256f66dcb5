"""What a room may ask for: command type -> handler. Whatever stands here is run as a job: it is written down before it
begins, can be listed and cancelled, and ends in one final status. A type that stands nowhere is answered with an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from .command import Handler
from .images.command import IMG2IMG, TXT2IMG, generate_images

HANDLERS: Mapping[str, Handler] = {TXT2IMG: generate_images, IMG2IMG: generate_images}
