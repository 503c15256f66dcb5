"""`image:txt2img` and `image:img2img` as a value: every field of the command is looked at once, here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import BadInput, FieldRefused
from ...metadata.samplers import Sampling, from_label
from ...resources.hashes import normal_hash
from ...resources.json_values import decimal, mapping
from ...resources.plain_text import one_line
from ...settings import Settings

LORA, HYPERNET, EMBEDDING = "lora", "hypernet", "embedding"
# What `additionalNetworks` may call them: the document's words, the site's, and those of prompts.
_KINDS = {
    **dict.fromkeys(("lora", "locon", "lycoris", "lyco", "loha", "dora"), LORA),
    **dict.fromkeys(("hypernet", "hypernetwork"), HYPERNET),
    **dict.fromkeys(("embedding", "textualinversion", "ti"), EMBEDDING),
}
_LEAST_SIDE, _GRID = 64, 8  # pixels; a latent has one value for 8 of them
_MOST_STEPS = 150  # as A1111's own page
_MOST_CFG = 100.0  # as core's KSampler
_MOST_CLIP_SKIP = 12
_MOST_STRENGTH = 10.0
_MOST_NETWORKS = 20
_LONGEST_PROMPT = 5000  # characters; text encoders take time and memory by the square of what they read
_LONGEST_LABEL, _LONGEST_NAME = 60, 200
_LARGEST_SEED = 2**53 - 1  # what a page's numbers hold exactly
_RANDOM = -1


@dataclass(frozen=True)
class Network:
    """What is added to the model: a LoRA, a hypernetwork or an embedding by the hash of its file; `name` is for
    people, and of an embedding the word that prompts name it by."""

    kind: str
    hash: str
    name: str
    strength: float


@dataclass(frozen=True)
class ImageRequest:
    """What a room asks for, within the limits. Hashes are bare, `vae` is `""` for the model's own. Where the room says
    no `sampler`, `width`, `height`, `steps` or `cfg` they are None or 0, and the model's family decides. `clip_skip`
    0 is the model's own. `init_image` and `mask_image` are addresses or base64 texts, `""` where there are none;
    `denoise` is 0 to 1, in hundredths."""

    model: str
    prompt: str
    negative_prompt: str
    seed: int
    quantity: int
    batch_size: int
    vae: str = ""
    networks: tuple[Network, ...] = ()
    sampler: Sampling | None = None
    width: int = 0
    height: int = 0
    steps: int = 0
    cfg: float | None = None
    clip_skip: int = 0
    init_image: str = ""
    mask_image: str = ""
    masked_only: bool = False
    denoise: float = 1.0

    @property
    def count(self) -> int:
        """How many pictures come of it."""
        return self.quantity * self.batch_size


def read_request(fields: Mapping[str, Any], settings: Settings, random_seed: Callable[[], int], *, edits: bool) -> (
    ImageRequest
):  # fmt: skip
    """The fields of a command; `edits` for `image:img2img`. `random_seed` gives a number of 32 bits for a seed of −1
    or none. Raises BadInput and its kin with a sentence."""
    params = mapping(fields.get("params"))
    if not params:
        raise BadInput("The command has no params: at least a prompt is needed.")
    quantity, batch_size = _counts(fields, settings)
    side = f"a multiple of {_GRID} from {_LEAST_SIDE} to {settings.link_max_side}"
    return ImageRequest(
        model=_hash(fields.get("model"), "model", needed=True),
        vae=_hash(fields.get("vae"), "vae"),
        networks=_networks(fields.get("additionalNetworks")),
        prompt=_prompt(params, "prompt"),
        negative_prompt=_prompt(params, "negativePrompt"),
        seed=_seed(params.get("seed"), random_seed),
        quantity=quantity,
        batch_size=batch_size,
        sampler=_sampler(params.get("sampler")),
        width=_whole(params, "width", 0, _LEAST_SIDE, settings.link_max_side, side, _GRID),
        height=_whole(params, "height", 0, _LEAST_SIDE, settings.link_max_side, side, _GRID),
        steps=_whole(params, "steps", 0, 1, _MOST_STEPS),
        cfg=_number(params, "cfgScale", None, 0.0, _MOST_CFG),
        clip_skip=_whole(params, "clipSkip", 0, 0, _MOST_CLIP_SKIP),
        **(_edit(params) if edits else {}),
    )


def _edit(params: Mapping[str, Any]) -> dict[str, Any]:
    """What only `image:img2img` has."""
    init, mask = (_picture(params, name) for name in ("initImage", "maskImage"))
    if not init:
        raise BadInput("image:img2img needs an initImage: an https address at CivitAI, or base64.")
    masked_only = params.get("maskedOnly")
    if masked_only not in (None, True, False):
        raise FieldRefused("maskedOnly", masked_only, "true or false")
    if masked_only and not mask:
        raise BadInput("maskedOnly needs a maskImage that says which part is meant.")
    # In hundredths: core makes a schedule of steps / denoise values, which would have no end near 0.
    denoise = round(_number(params, "denoiseStrength", 0.75, 0.0, 1.0), 2)
    return {"init_image": init, "mask_image": mask, "masked_only": bool(masked_only), "denoise": denoise}


def _counts(fields: Mapping[str, Any], settings: Settings) -> tuple[int, int]:
    most = settings.link_max_images
    quantity, batch_size = (_whole(fields, name, 1, 1, most) for name in ("quantity", "batchSize"))
    if quantity * batch_size > most:
        raise BadInput(
            f"{quantity} times {batch_size} pictures are more than the {most} that this ComfyUI makes for one command "
            "(its setting link_max_images)."
        )
    return quantity, batch_size


def _hash(value: object, name: str, *, needed: bool = False) -> str:
    if value in (None, "") and not needed:
        return ""
    if digits := normal_hash(value):
        return digits
    raise BadInput(f"{name} must be the hash of a model file, as CivitAI shows it.")


def _networks(value: object) -> tuple[Network, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise BadInput("additionalNetworks must be a list of objects with type, hash and strength.")
    if len(value) > _MOST_NETWORKS:
        raise BadInput(f"{len(value)} additionalNetworks are more than the {_MOST_NETWORKS} that are taken.")
    return tuple(map(_network, value))


def _network(entry: Mapping[str, Any]) -> Network:
    type_, name = entry.get("type"), entry.get("name")
    kind = _KINDS.get(type_.strip().lower()) if isinstance(type_, str) else None
    if kind is None:
        raise BadInput("The type of an additional network must be lora, locon, dora, hypernet or embedding.")
    name = one_line(name)[:_LONGEST_NAME].strip() if isinstance(name, str) else ""
    strength = _number(entry, "strength", 1.0, -_MOST_STRENGTH, _MOST_STRENGTH)
    return Network(kind, _hash(entry.get("hash"), f"The hash of a {kind}", needed=True), name, strength or 0.0)


def _prompt(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldRefused(name, value, "a text")
    if len(value) > _LONGEST_PROMPT:
        raise BadInput(f"{name} has {len(value)} characters; at most {_LONGEST_PROMPT} are taken.")
    return value.encode("utf-8", "replace").decode()  # JSON may hold half a character, which no tokenizer takes


def _picture(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"{name} must be a text: an https address at CivitAI, or base64.")
    return value or ""


def _seed(value: object, random_seed: Callable[[], int]) -> int:
    if value is None or value == _RANDOM:
        return random_seed()
    return _whole({"seed": value}, "seed", 0, 0, _LARGEST_SEED, f"-1 for a random one, or from 0 to {_LARGEST_SEED}")


def _sampler(value: object) -> Sampling | None:
    """Raises UnknownLabel for a name that no table has."""
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_LABEL:
        raise FieldRefused("sampler", value, "a sampler's name, as A1111 or CivitAI write it")
    return from_label(one_line(value))


def _whole(
    fields: Mapping[str, Any], name: str, default: int, least: int, most: int, words: str = "", grid: int = 1
) -> int:
    """A whole number of JSON (20, 20.0) within its range. Raises FieldRefused with the range in words."""
    value = fields.get(name)
    if value is None:
        return default
    number = decimal(value)
    if number is None or not least <= number <= most or not number.is_integer() or int(number) % grid:
        raise FieldRefused(name, value, words or f"a whole number from {least} to {most}")
    return int(number)


def _number(fields: Mapping[str, Any], name: str, default: Any, least: float, most: float) -> Any:
    """A number of JSON within its range, else `default` where there is none. Raises FieldRefused."""
    value = fields.get(name)
    if value is None:
        return default
    number = decimal(value)
    if number is None or not least <= number <= most:
        raise FieldRefused(name, value, f"a number from {least:g} to {most:g}")
    return number
