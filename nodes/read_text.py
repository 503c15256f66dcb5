"""Read Text: a text that a person pasted in, what it says of a picture out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from .base import Node, schema
from .host.interrupt import NodeRun
from .host.services import services
from .image_data import generation_output, generation_outputs

if TYPE_CHECKING:
    from ..civitai_bridge.website import ImageData


class CivitaiBridgeReadText(Node):
    """Read Text: A1111's text, a graph or what CivitAI copies in, the same outputs as Read Image out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeReadText",
            display_name="CivitAI Read Text",
            description=(
                "Paste what made a picture: A1111's text, a ComfyUI graph, or CivitAI's copied generation data. "
                "CivitAI is asked only whose the hashes in it are."
            ),
            search_aliases=["civitai", "metadata", "parameters", "paste", "clipboard", "infotext", "prompt reader"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    default="",
                    tooltip="A1111's or Forge's text, a graph as JSON, or CivitAI's copied generation data.",
                ),
            ],
            outputs=generation_outputs(),
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        """A service that is back may tell more."""
        return str(services().unanswered)

    @classmethod
    async def execute(cls, text: str = "") -> io.NodeOutput:
        async def read(run: NodeRun) -> ImageData:
            return await (await services().app.reader()).text(str(text))

        return generation_output(await cls.look(read, "Reading the text"))
