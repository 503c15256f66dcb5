"""The site's API: who a reference is, what made an image, and whose a hash is.

Outside this folder only the names below are imported; `wire` and the routes' answers stay inside."""

from __future__ import annotations

from .client import ListedVersion, Model, Owner, SiteClient
from .domains import with_other_domain
from .image_data import ImageData, Reader, fetch_image_data, look_up, read_file_data
from .images import GenerationPayload, ImageClient, PublicImage
from .lookup import Identified, Lookups, describe, identify
from .memory import AnswerMemory, remembering
from .resolve import resolve

__all__ = [
    "AnswerMemory",
    "GenerationPayload",
    "Identified",
    "ImageClient",
    "ImageData",
    "ListedVersion",
    "Lookups",
    "Model",
    "Owner",
    "PublicImage",
    "Reader",
    "SiteClient",
    "describe",
    "fetch_image_data",
    "identify",
    "look_up",
    "read_file_data",
    "remembering",
    "resolve",
    "with_other_domain",
]
