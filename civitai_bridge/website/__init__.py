"""The site's API: who a reference is, and what made an image."""

from __future__ import annotations

from .client import ListedVersion, Model, Owner, SiteClient
from .image_data import ImageData, fetch_image_data, look_up, read_file_data
from .images import GenerationPayload, ImageClient, PublicImage
from .lookup import Identified, Lookups, describe, identify
from .reader import Reader
from .resolve import resolve

__all__ = [
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
    "resolve",
]
