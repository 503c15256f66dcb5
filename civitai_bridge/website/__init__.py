"""The site's API: who a reference is, and what made an image."""

from __future__ import annotations

from .client import Model, ModelVersion, Owner, SiteClient, download_url
from .images import GenerationPayload, ImageClient, PublicImage
from .lookup import Identified, Lookups, describe, identify
from .resolve import resolve

__all__ = [
    "GenerationPayload",
    "Identified",
    "ImageClient",
    "Lookups",
    "Model",
    "ModelVersion",
    "Owner",
    "PublicImage",
    "SiteClient",
    "describe",
    "download_url",
    "identify",
    "resolve",
]
