"""AI Resource Identifiers:  [urn:][air:][{ecosystem}:][{type}:]{source}:{id}[@{version}][+{file}][.{format}]

The grammar is the one in force on CivitAI (the regex of its SDK, npm `@civitai/client`), read case-insensitively.
`urn:air:` is always written. Also accepted: a bare `id@version` of CivitAI (old packs write it), and the older
grammar's `:layer` after the version, which is dropped. Refused: five segments, white space, a digest as version, and
addresses such as `http://x`, which the regex alone would take for a source called `http`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidAir

_AIR = re.compile(
    r"(?:urn:)?(?:air:)?(?:(?P<ecosystem>[a-z0-9_\-/]+):)?(?:(?P<type>[a-z0-9_\-/]+):)?(?P<source>[a-z0-9_\-/]+):"
    r"(?P<id>[a-z0-9_\-/.]+)(?:@(?P<version>[a-z0-9_\-/.]+))?(?:\+(?P<file>\d+))?(?:\.(?P<format>[a-z0-9_\-]+))?",
    re.IGNORECASE | re.ASCII,
)
_BARE = re.compile(r"(?P<id>\d+)@(?P<version>\d+)(?:\+(?P<file>\d+))?", re.ASCII)
_LAYER = re.compile(r"(@\d+):[a-z0-9_\-]+$", re.IGNORECASE | re.ASCII)
_LONGEST = 1024


@dataclass(frozen=True)
class Air:
    """
    air = Air.parse("sdxl:lora:civitai:1115064@1253021")
    assert (air.ecosystem, air.type, air.model_id, air.version_id) == ("sdxl", "lora", 1115064, 1253021)
    assert str(air) == "urn:air:sdxl:lora:civitai:1115064@1253021"
    """

    ecosystem: str
    type: str
    source: str
    id: str
    version: str | None = None
    file: str | None = None
    format: str | None = None

    @classmethod
    def parse(cls, text: str) -> Air:
        """Read an AIR in any accepted spelling. Raises InvalidAir with the reason."""
        if len(text) > _LONGEST:
            raise InvalidAir(text[:40] + "…", "it is too long")
        text = text.strip()
        if not text:
            raise InvalidAir(text, "it is empty")
        if "://" in text:
            raise InvalidAir(text, "it is a web address")
        if re.search(r"\s", text):
            raise InvalidAir(text, "it has white space inside")
        if bare := _BARE.fullmatch(text):
            return cls("", "", "civitai", bare["id"], bare["version"], bare["file"])
        if "@sha256:" in text.lower():
            raise InvalidAir(text, "a digest cannot be a version")
        match = _AIR.fullmatch(_LAYER.sub(r"\1", text))
        if match is None:
            raise InvalidAir(text, "it does not follow urn:air:{ecosystem}:{type}:{source}:{id}@{version}")
        source = match["source"].lower()
        if source in ("http", "https", "file", "data", "urn", "air"):
            raise InvalidAir(text, "it names no source")
        air = cls(
            (match["ecosystem"] or "").lower(),
            (match["type"] or "").lower(),
            source,
            match["id"],
            match["version"],
            match["file"],
            match["format"],
        )
        return air._with_format() if source == "civitai" else air

    def _with_format(self) -> Air:
        """CivitAI's ids are whole numbers; the regex swallows a format into the version, which is put right here."""
        version, suffix = self.version, self.format
        if version and suffix is None and "." in version:
            version, suffix = version.split(".", 1)
        if not self.id.isdigit() or (version is not None and not version.isdigit()):
            raise InvalidAir(str(self), "CivitAI's model and version ids are whole numbers")
        return Air(self.ecosystem, self.type, self.source, self.id, version, self.file, suffix)

    @property
    def model_id(self) -> int | None:
        """CivitAI's model id, None for other sources."""
        return int(self.id) if self.source == "civitai" else None

    @property
    def version_id(self) -> int | None:
        """CivitAI's version id, None without a version and for other sources."""
        return int(self.version) if self.source == "civitai" and self.version else None

    @property
    def file_id(self) -> int | None:
        """The one file of the version that is meant, if one is."""
        return int(self.file) if self.file else None

    def __str__(self) -> str:
        head = ":".join(part for part in ("urn", "air", self.ecosystem, self.type, self.source, self.id) if part)
        tail = (f"@{self.version}" if self.version else "") + (f"+{self.file}" if self.file else "")
        return head + tail + (f".{self.format}" if self.format else "")
