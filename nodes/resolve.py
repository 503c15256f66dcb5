"""Resolve: who a reference is, and whether its file is here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comfy_api.latest import io

from .base import FreshNode, output_with_report, schema
from .host import comfyui, folders
from .host.interrupt import NodeRun
from .host.services import services
from .sockets import AirOut, FileName, reference_input, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.resources.version import ModelVersion


class CivitaiBridgeResolve(FreshNode):
    """Resolve: a reference in, everything CivitAI says of it and a loader's file name out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeResolve",
            display_name="CivitAI Resolve",
            description=(
                "Looks up a version id, CivitAI address, AIR or hash: its AIR, names, trigger words, "
                "and its file if it is here."
            ),
            search_aliases=["civitai", "air", "model", "lookup", "hash"],
            inputs=[
                reference_input("reference", default="", tooltip="A version id, a CivitAI address, an AIR or a hash."),
            ],
            outputs=[
                AirOut.Output("air", tooltip="The AIR as CivitAI gave it."),
                io.Int.Output("version_id", tooltip="CivitAI's version id."),
                io.String.Output("name", tooltip="The model's and the version's name."),
                io.String.Output("base_model", tooltip="The family, as CivitAI names it."),
                io.String.Output("type", tooltip="checkpoint, lora, vae, …"),
                io.String.Output("trigger_words", tooltip="Joined with commas."),
                io.String.Output("status", tooltip="present or missing."),
                FileName.Output(
                    "file", tooltip=("For any loader's combo. Without a file, whoever needs it is told why.")
                ),
                io.String.Output("report", tooltip="All of it, in sentences."),
            ],
            is_output_node=True,
        )

    @classmethod
    async def execute(cls, reference: object = "") -> io.NodeOutput:
        from ..civitai_bridge.catalog.entries import file_line

        async def look_up(run: NodeRun) -> tuple[ModelVersion, LocalFile]:
            version = await (await services().fleet()).resolve(text_of(reference))
            return version, await locate(version)

        version, local = await cls.look(look_up, f"Looking up {text_of(reference)} on CivitAI")
        trigger_words = ", ".join(version.trained_words)
        lines = [f"{version.title} · {version.type} · {version.base_model}", version.air, local.sentence]
        if trigger_words:
            lines.append(f"Trigger words: {trigger_words}")
        if len(version.files) > 1:
            lines += [file_line(version, file) for file in version.files]
        if version.air_composed:
            lines.append("CivitAI gave no AIR for it; this one was composed from its ids.")
        return output_with_report(
            version.air,
            version.version_id,
            version.title,
            version.base_model,
            version.type,
            trigger_words,
            local.status,
            local.name or comfyui.blocker(local.sentence),
            report="\n".join([*lines, *version.notes]),
        )


@dataclass(frozen=True)
class LocalFile:
    """A loader's name for a version's file, `""` where it is missing, and a sentence about it."""

    name: str
    sentence: str

    @property
    def status(self) -> str:
        return "present" if self.name else "missing"


async def locate(version: ModelVersion) -> LocalFile:
    """The file of a version on this machine: by its hash first, by its exact file name last. On the background
    loop."""
    from ..civitai_bridge.catalog.answers import Answer
    from ..civitai_bridge.catalog.loader_names import loader_file
    from ..civitai_bridge.catalog.query import Query
    from ..civitai_bridge.resources.ecosystems import folder_of

    catalog = await services().catalog()
    located = await asyncio.to_thread(catalog.catalogs.locate, Query.from_version(version))
    files = await asyncio.to_thread(catalog.index.files)
    looked, seen = [], set()
    for file in sorted(version.files, key=lambda file: not file.primary):
        folder = folder_of(version.type, file.type)
        if not folder or folder in seen:
            continue
        seen.add(folder)
        listed = await asyncio.to_thread(folders.listed, folder)
        here = loader_file(Answer(version.air, located, version), folder, listed, files)
        if here.name:
            return LocalFile(here.name, f"Present: {here.sentence}")
        looked.append(here.sentence)
    if not looked:
        return LocalFile("", f"{version.name} has no file that a ComfyUI loader reads.")
    return LocalFile("", f"Missing: {' '.join(looked)}")
