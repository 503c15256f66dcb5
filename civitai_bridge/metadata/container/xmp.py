"""XMP packets: the texts of the fields in which programs put what made a picture.

Not parsed as XML: packets are cut off, and entities are a way to hurt. https://developer.adobe.com/xmp/docs/"""

from __future__ import annotations

import html
import re

from .texts import Texts, decoded

XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"  # before a packet in a JPEG
_FIELDS = ("exif:UserComment", "dc:description", "tiff:ImageDescription")
_TAGS = re.compile(r"<[^<>]*>")


def read_xmp(data: bytes, texts: Texts) -> None:
    """Collect a packet as `XMP`, and the fields of interest in it as `XMP` and their names."""
    packet = decoded(data, "utf-8", texts, "XMP")
    texts.add("XMP", packet)
    for name in _FIELDS:
        if (value := _element(packet, name) or _attribute(packet, name)) and texts.may_read(len(value)):
            texts.add(f"XMP {name}", value)


def _element(packet: str, name: str) -> str:
    """The text of an element, or of the first entry of the list in it."""
    start = packet.find(f"<{name}")
    begin = packet.find(">", start) + 1 if start >= 0 else 0
    end = packet.find(f"</{name}>", begin) if begin > 0 else -1
    if end < 0:
        return ""
    inner = packet[begin:end]
    entry = inner.find("<rdf:li")
    if entry >= 0:
        inner = inner[inner.find(">", entry) + 1 :].partition("</rdf:li>")[0]
    return html.unescape(_TAGS.sub("", inner)).strip()


def _attribute(packet: str, name: str) -> str:
    start = packet.find(f'{name}="')
    begin = start + len(name) + 2
    end = packet.find('"', begin) if start >= 0 else -1
    return html.unescape(packet[begin:end]).strip() if end >= 0 else ""
