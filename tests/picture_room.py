"""Model files and their index, pictures as a room sends them, and a ComfyUI that remembers the jobs it got."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model_headers import TENSORS, header_only
from PIL import Image

from pack.civitai_bridge.link.command import Command, LinkContext
from pack.civitai_bridge.link.images.command import generate_images
from pack.civitai_bridge.link.images.graph import GraphJob, MakeJob
from pack.civitai_bridge.model_files.folders import folders_below
from pack.civitai_bridge.model_files.index import HashIndex
from pack.civitai_bridge.model_files.indexed import Ownership
from pack.civitai_bridge.model_files.scan import scan
from pack.civitai_bridge.settings import Settings

NEEDED = {
    "text_encoders/clip_l.safetensors": "clip_l", "text_encoders/g/clip_g.safetensors": "clip_g",
    "text_encoders/t5xxl_fp16.safetensors": "t5xxl", "text_encoders/qwen_2.5_vl_7b.safetensors": "qwen25_7b",
    "text_encoders/qwen_3_4b.safetensors": "qwen3_4b", "vae/ae.safetensors": "vae 16",
    "vae/sd3_vae.safetensors": "vae 16", "vae/sdxl_vae.safetensors": "vae 4", "vae/qwen_image_vae.safetensors": "vae wan",
}  # fmt: skip


def png(size: tuple[int, int], color: Any = "grey", mode: str = "RGB", box: Any = None) -> bytes:
    """A picture of one colour; with a `box` that is white in it, a mask."""
    picture, out = Image.new(mode, size, color), io.BytesIO()
    if box:
        picture.paste("white" if mode == "RGB" else 255, box)
    picture.save(out, "PNG")
    return out.getvalue()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


class Room:
    """Folders, their index, and a handler's context; `jobs` are what ComfyUI got, `log` what a person reads."""

    def __init__(self, root: Path) -> None:
        self.models, self.jobs, self.log, self.progress = root / "models", [], [], []
        self.models.mkdir(parents=True, exist_ok=True)
        self.index = HashIndex(root / "state" / "hashes.sqlite3")
        self.settings = Settings(link_generate=True, home=root / "state")
        self.pictures: Callable[[GraphJob], list[bytes]] = lambda job: [png((64, 64))] * self.count(job)
        self.fetch: Any = None

    def put(self, path: str, kind: str = "", content: bytes = b"") -> str:
        """A file of a kind of TENSORS, or with this content, and its SHA-256."""
        data = content or header_only(TENSORS[kind], path)
        target = self.models / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def look(self, **base_models: str) -> None:
        """Bring the index up to date; CivitAI says of these hashes (`_` before them) for which base model they are."""
        scan(self.index, folders_below(self.models))
        self.index.own(Ownership(key[1:], 7, 6, {"base_model": base}) for key, base in base_models.items())

    @staticmethod
    def count(job: GraphJob) -> int:
        """How many pictures core would make of a job."""
        sizes = [node["inputs"] for node in job.graph.values()]
        return len(job.outputs) * next((s[key] for s in sizes for key in ("batch_size", "amount") if key in s), 1)

    async def generate(self, make_job: MakeJob, tell: Callable[[float], None]) -> list[bytes]:
        self.jobs.append(job := await make_job())
        tell(0.5)
        await asyncio.sleep(0)
        return self.pictures(job)

    async def ask(self, kind: str = "image:txt2img", **fields: Any) -> Mapping[str, Any]:
        """What the handler gives for a command."""
        catalog: Any = types.SimpleNamespace(index=self.index, scanning=None)
        ask: Any = None
        context = LinkContext(self.settings, catalog, self.fetch, self.log.append, ask, self.generate)
        command = Command("job-1", kind, fields=fields)
        report: Any = lambda progress, **_: self.progress.append(progress)  # noqa: E731
        return await generate_images(command, context, report, random_seed=lambda: 4242)

    def nodes(self, kind: str) -> list[dict[str, Any]]:
        """The inputs of the last job's nodes of a class."""
        return [node["inputs"] for node in self.jobs[-1].graph.values() if node["class_type"] == kind]
