"""Image Data, Read Image, Generation Settings: what made a picture, as inputs of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from .base import Node, output, report_text, schema
from .host import folders
from .host.interrupt import NodeRun
from .host.services import services
from .sockets import AirOut, FileName, Generation, Loras, reference_input, text_of

if TYPE_CHECKING:
    from ..civitai_bridge.metadata.generation import GenerationData, UsedResource
    from ..civitai_bridge.website import ImageData


def generation_outputs() -> list[Any]:
    """What every node gives that tells what made a picture."""
    return [
        Generation.Output("generation", tooltip="Everything that is known, for Generate, Generation Settings or Save."),
        io.String.Output("prompt", tooltip="Without network tags; embeddings as ComfyUI spells them."),
        io.String.Output("negative_prompt", tooltip="The same for the negative prompt."),
        AirOut.Output("model", tooltip="The checkpoint's AIR as CivitAI gave it; empty when nobody knows it."),
        Loras.Output("loras", tooltip="LoRAs with their strengths, for Apply LoRAs, LoRA Stack or Generate."),
        io.String.Output("report", tooltip="Which source gave what, and what could not be understood."),
    ]


class CivitaiBridgeImageData(Node):
    """Image Data: an image's address on CivitAI in, what made it out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeImageData",
            display_name="CivitAI Image Data",
            description="Paste the address of an image on CivitAI: its prompt, model, LoRAs and settings come out.",
            search_aliases=["civitai", "prompt", "metadata", "generation data", "image info"],
            inputs=[
                reference_input(
                    "reference",
                    default="",
                    tooltip="An image's id or address, or a post's (its first image). civitai.com, civitai.red and "
                    "image.civitai.com are understood.",
                ),
            ],
            outputs=generation_outputs(),
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        """Another key, or a service that is back, may tell more."""
        return f"{services().account()} {services().unanswered}"

    @classmethod
    async def execute(cls, reference: object = "") -> io.NodeOutput:
        async def read(run: NodeRun) -> ImageData:
            return await (await services().app.reader()).image(text_of(reference))

        return generation_output(await cls.look(read, f"Asking CivitAI about {text_of(reference)}"))


class CivitaiBridgeReadImage(Node):
    """Read Image: a picture file in, what made it and the picture itself out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeReadImage",
            display_name="CivitAI Read Image",
            description=(
                "Reads what a picture file says about how it was made: A1111, Forge, ComfyUI, SwarmUI, Fooocus, "
                "InvokeAI and NovelAI. CivitAI is asked only whose the hashes in it are."
            ),
            search_aliases=["civitai", "metadata", "png info", "exif", "parameters", "prompt reader"],
            inputs=[
                io.Combo.Input(
                    "image",
                    options=folders.input_pictures(),
                    upload=io.UploadType.image,
                    tooltip="A picture of ComfyUI's input folder; drop one on the node.",
                ),
            ],
            outputs=[*generation_outputs(), io.Image.Output("picture", tooltip="The picture itself.")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, image: object = None) -> bool | str:
        try:
            is_fine = image is None or folders.input_file(str(image)).is_file()
        except Exception as error:  # core calls this while the graph is queued; its answer must be a sentence
            return str(error)
        return is_fine or f"There is no picture {image!r} any more."

    @classmethod
    def fingerprint_inputs(cls, image: object = "", **inputs: Any) -> str:
        path = folders.input_file(str(image))
        if not path.is_file():
            return ""
        status = path.stat()
        return f"{status.st_mtime_ns} {status.st_size} {services().unanswered}"

    @classmethod
    async def execute(cls, image: str = "") -> io.NodeOutput:
        from ..civitai_bridge.errors import BadInput
        from ..civitai_bridge.model_files.atomic import reason
        from ..civitai_bridge.pictures import batch, png_from_file
        from .tensors import to_tensor

        path = folders.input_file(image)

        async def read(run: NodeRun) -> ImageData:
            try:
                return await (await services().app.reader()).file(path)
            except OSError as error:
                raise BadInput(f"The picture {image!r} cannot be read: {reason(error)}.") from error

        image_data = await cls.look(read, "Reading the picture")
        pixels, _, _ = batch([png_from_file(path.read_bytes())])
        return generation_output(image_data, to_tensor(pixels))


def generation_output(image: ImageData, *pictures: Any) -> io.NodeOutput:
    """The values of `generation_outputs`, and pictures behind them, with the report as text on the node."""
    from ..civitai_bridge.metadata.embeddings import for_comfyui
    from ..civitai_bridge.metadata.generation import loras_of
    from ..civitai_bridge.metadata.lookup import embedding_words
    from ..civitai_bridge.metadata.prompt import clean_prompt

    if any("could not be looked up" in line for line in image.report):
        services().unanswered += 1  # asked again when the graph is queued again
    data, report = image.data, "\n".join(image.report)
    words = embedding_words(data, _embedding_file)
    prompt, negative = (for_comfyui(clean_prompt(text), words) for text in (data.prompt, data.negative_prompt))
    values = (data, prompt, negative, data.model_air, loras_of(data), report_text(report))
    return output(*values, *pictures, report=report)


def _embedding_file(embedding: UsedResource) -> str:
    """What the file of an embedding is called on this machine, by its exact name; `""` where it is not here."""
    from ..civitai_bridge.catalog.loader_names import exact

    listed = folders.listed("embeddings")
    for name in (embedding.file, *embedding.words):
        if name and isinstance(match := exact(name, listed), str):
            return match
    return ""


class CivitaiBridgeGenerationSettings(Node):
    """Generation Settings: a generation in, the inputs of a sampler out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="CivitaiBridgeGenerationSettings",
            display_name="CivitAI Generation Settings",
            description="Takes a generation apart for KSampler and its kin. What was not said is named in the report.",
            search_aliases=["civitai", "sampler", "seed", "steps", "cfg"],
            inputs=[Generation.Input("generation", tooltip="From Image Data, Read Image or Generate.")],
            outputs=[
                io.Int.Output("seed", tooltip="0 when it is not said."),
                io.Int.Output("steps", tooltip="20 when they are not said."),
                io.Float.Output("cfg", tooltip="7 when it is not said."),
                FileName.Output("sampler_name", tooltip="In KSampler's own spelling."),
                FileName.Output("scheduler", tooltip="In KSampler's own spelling."),
                io.Int.Output("width", tooltip="Pixels of the first pass."),
                io.Int.Output("height", tooltip="Pixels of the first pass."),
                io.Float.Output("denoise", tooltip="Of the first pass; 1 when it is not said."),
                io.Int.Output("clip_skip", tooltip="As CivitAI counts: 1 = none. CLIPSetLastLayer takes it negated."),
                io.String.Output("report", tooltip="What was absent, and what stands in for it."),
                io.Float.Output("guidance", tooltip="What FluxGuidance takes; 3.5 when it is not said."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, generation: GenerationData) -> io.NodeOutput:
        from comfy.samplers import KSampler

        values, lines = settings_of(generation, list(KSampler.SAMPLERS), list(KSampler.SCHEDULERS))
        report = "\n".join(lines) or "Everything was said."
        guidance = 3.5 if generation.guidance is None else float(generation.guidance)
        return output(*values, report_text(report), guidance, report=report)


def settings_of(data: GenerationData, samplers: list[str], schedulers: list[str]) -> tuple[tuple[Any, ...], list[str]]:
    """Seed, steps, cfg, sampler, scheduler, width, height, denoise, clip skip, and a line for each that something else
    stands in for. Sampler and scheduler are always of the lists: KSampler would replace others without a word."""
    lines: list[str] = []
    side = 512 if data.base_model.startswith("SD 1") else 1024

    def value_or(name: str, value: Any, instead: Any) -> Any:
        if value is not None:
            return value
        lines.append(f"{name} is not said; {instead} stands in for it.")
        return instead

    def listed_or(name: str, value: str, choices: list[str], instead: str) -> str:
        if value in choices:
            return value
        instead = instead if instead in choices else choices[0]
        what = f"{name} {value!r} is not known to this ComfyUI" if value else f"{name} is not said"
        lines.append(f"{what}; {instead} stands in for it.")
        return instead

    values = (
        value_or("Seed", data.seed, 0),
        value_or("Steps", data.steps, 20),
        float(value_or("CFG", data.cfg, 7.0)),
        listed_or("The sampler", data.sampler, samplers, "euler"),
        listed_or("The scheduler", data.scheduler, schedulers, "normal"),
        value_or("Width", data.width, side),
        value_or("Height", data.height, side),
        float(value_or("Denoise", data.denoise, 1.0)),
        value_or("Clip skip", data.clip_skip, 1),
    )
    if data.upscale is not None:
        lines.append("The picture had a second pass (hires fix), which these settings do not hold.")
    return values, lines
