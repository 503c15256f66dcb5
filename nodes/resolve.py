"""Resolve: who a reference is, and whether its file is here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from . import host
from .sockets import AirOut, FileName, Fresh, node_id, output, reference_input, schema, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.resources.version import ModelVersion


class CivitaiBridgeResolve(Fresh):
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
        async def look_up(ticket: host.NodeRun) -> Any:
            found = await (await host.bridge()).resolve(text_of(reference))
            return found, *await locate(found)

        found, status, file, sentence = await host.interruptible(look_up, node_id(cls))
        lines = [f"{found.title} · {found.type} · {found.base_model}", found.air, sentence]
        if found.trained_words:
            lines.append(f"Trigger words: {', '.join(found.trained_words)}")
        if found.air_composed:
            lines.append("CivitAI gave no AIR for it; this one was composed from its ids.")
        lines += found.notes
        return output(
            found.air,
            found.version_id,
            found.title,
            found.base_model,
            found.type,
            ", ".join(found.trained_words),
            status,
            file if file is not None else host.blocker(sentence),
            report="\n".join(lines),
        )


async def locate(found: ModelVersion) -> tuple[str, str | None, str]:
    """On the background loop: status, the loader's file name or None, and a sentence. Hash first, exact file name
    last."""
    from ..civitai_bridge.catalog.answers import Answer
    from ..civitai_bridge.catalog.check import Wanted
    from ..civitai_bridge.catalog.loader_names import on_hand
    from ..civitai_bridge.resources.ecosystems import folder_of

    desk = await host.desk()
    located = await asyncio.to_thread(desk.catalogs.locate, Wanted.from_resource(found))
    files = await asyncio.to_thread(desk.index.files)
    looked, seen = [], set()
    for file in sorted(found.files, key=lambda f: not f.primary):
        folder = folder_of(found.type, file.type)
        if not folder or folder in seen:
            continue
        seen.add(folder)
        listed = await asyncio.to_thread(host.listed, folder)
        here = on_hand(Answer(found.air, located, found), folder, listed, files)
        if here.file:
            return "present", here.file, f"Present: {here.sentence}"
        looked.append(here.sentence)
    if not looked:
        return "missing", None, f"{found.name} has no file that a ComfyUI loader reads."
    return "missing", None, f"Missing: {' '.join(looked)}"
