"""From what a person asked to the body that is sent, by the variant table alone: no network, no guessing.

What a variant does not take and stands at its default is silent; what was set is named in the notes; what would
change the picture without being able to (LoRAs, image, mask, VAE) is refused before it is paid. A field outside its
range is refused by name.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput, FieldRefused, NotAPicture, NotGeneratable, WrongFamily
from ..metadata.samplers import AUTO, for_dialect, schedule_for_dialect
from ..resources.version import ModelVersion
from .variants import CREATE, EDIT, VARIANT, Variant, engine_for, find, fits

LARGEST_INLINE = 8 * 1024 * 1024  # bytes of PNG that go along inside the body; uploads are another road
JSON_SAFE = 2**53  # whole numbers from here on are not exact in every JSON reader
INT32 = 2**31
OUTPUT_FORMATS = {"png": "png", "jpeg": "jpeg", "webp": "webP"}
DEFAULT_DENOISE = 0.7
_STEP = {"sd1": 16, "sdxl": 16, "flux1": 16}  # pixels; everything else takes 8 (orchestration-api §5.3)

_IMAGE_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


@dataclass(frozen=True)
class LoraInput:
    """A LoRA as a face names it: any reference, and how strongly."""

    reference: str
    strength: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class ResolvedLora:
    resource: ModelVersion
    strength: float


@dataclass(frozen=True)
class GenerationRequest:
    """What a person asked: the generate node's inputs. 0, "" and "auto" mean "what the variant itself would take".

    `image` and `mask` are PNG bytes; `extra` are a variant's own fields, by the contract's names."""

    model: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    seed: int = 0
    quantity: int = 1
    width: int = 0
    height: int = 0
    steps: int = 0
    cfg: float = 0.0
    sampler_name: str = AUTO
    scheduler: str = AUTO
    engine: str = AUTO
    operation: str = AUTO
    denoise: float = DEFAULT_DENOISE
    clip_skip: int = 0
    vae: str = ""
    output_format: str = "png"
    mature_content: str = AUTO
    loras: tuple[LoraInput, ...] = ()
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A checked `input`, discriminators first; `notes` are sentences for the report."""

    input: dict[str, Any]
    variant: Variant
    notes: tuple[str, ...]
    seed: int
    quantity: int


def build(
    wanted: GenerationRequest,
    model: ModelVersion | None,
    loras: Sequence[ResolvedLora] = (),
    vae: ModelVersion | None = None,
    *,
    family_mismatch: str = "refuse",
) -> Built:
    """Build and check the input. Raises BadInput with the field and its range, WrongFamily, NotGeneratable,
    UnknownVariant."""
    return _Builder(wanted, model, loras, vae, family_mismatch).build()


def template(
    built: Built,
    *,
    currencies: Sequence[str],
    mature_content: str,
    tags: Sequence[str],
    metadata: Mapping[str, Any],
    external_id: str | None = None,
) -> dict[str, Any]:
    """The whole order (WorkflowTemplate). Without `external_id` it is the question for the price."""
    body: dict[str, Any] = {
        "steps": [{"$type": "imageGen", "name": "gen", "input": built.input}],
        "currencies": list(currencies),
        "tags": list(tags),
        "upgradeMode": "manual",
    }
    if metadata:
        body["metadata"] = dict(metadata)
    if mature_content != AUTO:
        body["allowMatureContent"] = mature_content == "allowed"
    if external_id is not None:
        body["externalId"] = external_id
    return body


def request_hash(account: str, base_url: str, body: Mapping[str, Any], seed: int) -> str:
    """SHA-256 (64 hex) over who asks where for what: images by their content, without tags, key, limits and waiting
    time."""
    what = {name: value for name, value in body.items() if name not in ("tags", "externalId", "metadata")}
    text = json.dumps(
        [account, base_url, _by_content(what), seed], sort_keys=True, ensure_ascii=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def lost_in_echo(sent: Mapping[str, Any], echoed: Mapping[str, Any]) -> list[str]:
    """What the price's echo lost or changed against what was meant, a sentence each.

    The live server drops fields it does not know and charges all the same (orchestration-api §3.6). Defaults that
    were filled in, the spelling of AIRs, pictures replaced by addresses, and `modelVariant` for Klein's selectors are
    no loss."""
    if not echoed:
        return []
    lost = []
    for name, value in sent.items():
        if name in ("image", "images", "mask", "maskImage") or value is None:
            if value and not echoed.get(name):
                lost.append(f"{name} was dropped.")
            continue
        got = echoed.get(name)
        if got is None:
            if not (name in ("model", "modelVersion") and echoed.get("modelVariant")) and value not in ([], {}):
                lost.append(f"{name} was dropped.")
        elif not _same(value, got):
            lost.append(f"{name} came back as {_short(got)} in place of {_short(value)}.")
    return lost


class _Builder:
    def __init__(
        self,
        wanted: GenerationRequest,
        model: ModelVersion | None,
        loras: Sequence[ResolvedLora],
        vae: ModelVersion | None,
        mismatch: str,
    ) -> None:
        self.wanted = wanted
        self.model = model
        self.loras = loras
        self.vae = vae
        self.mismatch = mismatch
        self.notes: list[str] = []
        self.unused: list[str] = []
        self.input: dict[str, Any] = {}

    def build(self) -> Built:
        self._finite()
        path, preset = self._engine()
        self.variant = self._variant(path)
        self.input = dict(self.variant.selectors)
        self._model()
        self._prompt()
        for name, value in preset.items():
            if name not in self.wanted.extra:
                self._set(name, value)
        self._size()
        quantity = self._quantity()
        self._plain("steps", self.wanted.steps, ("steps", "numInferenceSteps"))
        self._plain("cfg", self.wanted.cfg, ("cfgScale", "guidanceScale"))
        self._sampling()
        seed = self._seed(quantity)
        self._plain("clip_skip", self.wanted.clip_skip, ("clipSkip",))
        self._networks()
        self._vae()
        self._pictures()
        self._extra()
        self._required()
        if self.wanted.output_format not in OUTPUT_FORMATS:
            raise FieldRefused("output_format", self.wanted.output_format, "png, jpeg or webp")
        self.input["outputFormat"] = OUTPUT_FORMATS[self.wanted.output_format]
        if self.unused:
            self.notes.append(f"Not used by {path}: {', '.join(self.unused)}.")
        if self.variant.retired:
            self.notes.append(f"{path} is no longer in the newest contract; CivitAI may refuse it.")
        return Built(self.input, self.variant, tuple(self.notes), seed, quantity)

    # --- which variant --------------------------------------------------------------------------------------------

    def _finite(self) -> None:
        for name in ("cfg", "denoise"):
            if not math.isfinite(getattr(self.wanted, name)):
                raise FieldRefused(name, getattr(self.wanted, name), "a number")
        for lora in self.loras:
            if not math.isfinite(lora.strength):
                raise FieldRefused("a LoRA's strength", lora.strength, "a number")

    def _engine(self) -> tuple[str, Mapping[str, Any]]:
        if self.model is not None:
            if self.model.is_lora:
                raise BadInput(f"{self._who(self.model)} is a LoRA, not a checkpoint; connect it to `loras`.")
            if self.model.can_generate is False:
                raise NotGeneratable(
                    f"CivitAI does not generate with {self._who(self.model)}: it is not enabled for "
                    "generation. Choose another version."
                )
        if self.wanted.engine not in (AUTO, ""):
            preset: Mapping[str, Any] = {}
            if self.model is not None and self.wanted.engine == "flux2/klein" and "Klein" in self.model.base_model:
                preset = engine_for(self.model.base_model)[1]
            return self.wanted.engine, preset
        if self.model is None:
            raise BadInput(
                "No model is named. Give a version id, address, AIR or hash in `model`, or choose an `engine`."
            )
        return engine_for(self.model.base_model)

    def _variant(self, path: str) -> Variant:
        operation = self.wanted.operation
        if operation not in (AUTO, CREATE, VARIANT, EDIT):
            raise FieldRefused("operation", operation, "auto, create, variant or edit")
        if operation != AUTO:
            return find(path, operation)
        if self.wanted.image is None:
            return self._first(path, (CREATE, EDIT))
        return self._first(path, (VARIANT, EDIT, CREATE) if self.wanted.denoise < 1 else (EDIT, VARIANT, CREATE))

    @staticmethod
    def _first(path: str, kinds: Iterable[str]) -> Variant:
        from ..errors import UnknownVariant

        trouble: UnknownVariant | None = None
        for kind in kinds:
            try:
                return find(path, kind)
            except UnknownVariant as error:
                trouble = trouble or error
        assert trouble is not None
        raise trouble

    # --- what goes in -----------------------------------------------------------------------------------------------

    def _model(self) -> None:
        name = self.variant.model_field
        if self.model is None:
            if name and self.variant.fields[name].required:
                raise BadInput(
                    f"{self.variant.path} needs a model: give a version id, address, AIR or hash in `model`."
                )
            return
        if not fits(self.variant, self.model.ecosystem, self.model.base_model):
            raise WrongFamily(
                f"{self._who(self.model)} is of the family {self.model.family}, but {self.variant.path} runs "
                f"{self.variant.family} models. Set `engine` to auto."
            )
        if name is None:
            self.notes.append(
                f"{self.variant.path} runs its own model; the checkpoint {self._who(self.model)} itself is not sent."
            )
        else:
            self.input[name] = self.model.air

    def _prompt(self) -> None:
        text = self.wanted.prompt
        if not text.strip():
            raise FieldRefused("prompt", text, "a text", self.variant.path)
        self._length("prompt", text)
        self.input["prompt"] = text
        negative = self.wanted.negative_prompt
        if negative.strip():
            if "negativePrompt" in self.variant.fields:
                self._length("negativePrompt", negative, "negative_prompt")
                self.input["negativePrompt"] = negative
            else:
                self.unused.append("negative_prompt")

    def _length(self, name: str, text: str, ours: str = "") -> None:
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
            raise FieldRefused(
                ours or name, ("a text with half a character in it"), "whole characters", self.variant.path
            )
        most = self.variant.fields[name].max_length
        if most is not None and len(text) > most:
            raise FieldRefused(
                ours or name, f"{len(text)} characters long", (f"at most {most} characters long"), self.variant.path
            )

    def _size(self) -> None:
        width, height = self.wanted.width, self.wanted.height
        if width < 0 or height < 0:
            raise FieldRefused("width" if width < 0 else "height", min(width, height), "0 or more")
        fields = self.variant.fields
        if "width" in fields:
            source = _png_size(self.wanted.image) if self.wanted.image else None
            for place, name in enumerate(("width", "height")):
                value = (width, height)[place]
                if not value and fields[name].required:
                    # The variant must be told: the source's own size where there is one.
                    value = min(max(source[place] if source else 1024, 64), int(fields[name].maximum or 2048))
                if value:
                    self.input[name] = self._rounded(name, value)
            return
        ratios = self._size_choices()
        if ratios is None:
            self.unused += [name for name, value in (("width", width), ("height", height)) if value]
            return
        name, choices = ratios
        if width and height:
            best = min(choices, key=lambda c: _distance((width, height), choices[c]))
            self.input[name] = best
            self.notes.append(f"{self.variant.path} takes no pixels: {width} x {height} became {name} {best}.")
        elif width or height:
            raise FieldRefused(
                "height" if width else "width", 0, ("set too, because the two choose the shape"), self.variant.path
            )
        elif fields[name].required:
            self.input[name] = "1024x1024" if "1024x1024" in choices else next(iter(choices))

    def _size_choices(self) -> tuple[str, dict[str, tuple[float, float]]] | None:
        """The field that stands for a size and what its words mean in width and height."""
        fields = self.variant.fields
        if "aspectRatio" in fields:
            pairs = {c: c.split(":") for c in fields["aspectRatio"].choices if ":" in c}
            return "aspectRatio", {c: (float(w), float(h)) for c, (w, h) in pairs.items()}
        if "imageSize" in fields:
            known = fields["imageSize"].choices or tuple(_IMAGE_SIZES)
            return "imageSize", {c: _IMAGE_SIZES[c] for c in known if c in _IMAGE_SIZES}
        if "size" in fields and any("x" in str(c) for c in fields["size"].choices):
            pairs = {c: c.split("x") for c in fields["size"].choices if "x" in c}
            return "size", {c: (float(w), float(h)) for c, (w, h) in pairs.items()}
        return None

    def _rounded(self, name: str, value: int) -> int:
        step = _STEP.get(self.variant.family, 8)
        self._range(name, value, self.variant.fields[name])
        rounded = round(value / step) * step
        least, most = self.variant.fields[name].minimum or step, self.variant.fields[name].maximum
        rounded = max(rounded, math.ceil(max(least, 1) / step) * step)
        if most is not None:
            rounded = min(rounded, math.floor(most / step) * step)
        if rounded != value:
            self.notes.append(f"{name} {value} became {rounded}: {self.variant.path} takes multiples of {step}.")
        return rounded

    def _quantity(self) -> int:
        quantity = self.wanted.quantity
        for name in ("quantity", "numImages"):
            if name in self.variant.fields:
                self._range(name, quantity, self.variant.fields[name], "quantity")
                self.input[name] = quantity
                return quantity
        if quantity != 1:
            raise FieldRefused("quantity", quantity, "1", self.variant.path)
        return 1

    def _plain(self, ours: str, value: float, names: tuple[str, ...]) -> None:
        """A number that goes in under the variant's own name, if it was set."""
        if not value:
            return
        name = next((n for n in names if n in self.variant.fields), None)
        if name is None:
            self.unused.append(ours)
            return
        self._range(name, value, self.variant.fields[name], ours)
        if ours == "clip_skip" and value < 1:
            raise FieldRefused(ours, value, "1 or more", self.variant.path)
        self.input[name] = value

    def _sampling(self) -> None:
        for ours, value, names, translate in (
            ("sampler_name", self.wanted.sampler_name, ("sampler", "sampleMethod"), for_dialect),
            ("scheduler", self.wanted.scheduler, ("scheduler", "schedule"), schedule_for_dialect),
        ):
            if value in (AUTO, ""):
                continue
            name = next((n for n in names if n in self.variant.fields), None)
            if name is None:
                self.unused.append(ours)
            else:
                dialect = "comfy" if name in ("sampler", "scheduler") else "sdcpp"
                self.input[name] = translate(value, self.variant.fields[name].choices, dialect)

    def _seed(self, quantity: int) -> int:
        seed = self.wanted.seed
        if not 0 <= seed < JSON_SAFE:
            raise FieldRefused("seed", seed, f"0 to {JSON_SAFE - 1}")
        if "seed" not in self.variant.fields:
            if seed:
                self.unused.append("seed")
            return seed
        room = (INT32 if self.variant.fields["seed"].format == "int32" else JSON_SAFE) - quantity + 1
        folded = seed % room  # picture i is made from seed + i, which must fit too
        if folded != seed:
            self.notes.append(f"The seed {seed} is above what {self.variant.path} takes; it was folded to {folded}.")
        self.input["seed"] = folded
        return folded

    def _networks(self) -> None:
        uses = []
        for use in self.loras:
            if use.strength == 0:
                self.notes.append(f"The LoRA {self._who(use.resource)} has strength 0 and is left out.")
            else:
                uses.append(use)
        if not uses:
            return
        shape = self.variant.lora_shape
        if shape is None:
            raise BadInput(
                f"{self.variant.path} takes no LoRAs, but {len(uses)} {'is' if len(uses) == 1 else 'are'} connected."
            )
        strengths: dict[str, float] = {}
        for use in uses:
            self._fits_as_lora(use.resource)
            air = use.resource.air
            if air in strengths:
                self.notes.append(f"The LoRA {self._who(use.resource)} is there twice; its strengths were added.")
            strengths[air] = strengths.get(air, 0.0) + use.strength
        for air, strength in strengths.items():
            self._range("loras", strength, self.variant.fields["loras"], f"the strength of {air}")
        self.input["loras"] = (
            strengths if shape == "lora-map" else [{"air": air, "strength": s} for air, s in strengths.items()]
        )

    def _fits_as_lora(self, resource: ModelVersion) -> None:
        if not resource.is_lora and resource.type:
            raise BadInput(f"{self._who(resource)} is a {resource.type}, not a LoRA.")
        if resource.can_generate is False:
            raise NotGeneratable(
                f"CivitAI does not generate with the LoRA {self._who(resource)}: it is not enabled for generation."
            )
        self._fits_family(resource, "LoRA")

    def _fits_family(self, resource: ModelVersion, what: str) -> None:
        """Refuse (or note, by the setting) what is of another family than the chosen model."""
        chosen = self.model.base_model if self.model else str(self.input.get("modelVersion", "")).upper()
        if fits(self.variant, resource.ecosystem, resource.base_model, chosen):
            return
        family = self.model.family if self.model else self.variant.family
        text = f"The {what} {self._who(resource)} is of the family {resource.family}, the model of {family}"
        if self.mismatch != "warn":
            raise WrongFamily(f"{text}; they do not fit, and CivitAI would charge for it all the same.")
        self.notes.append(f"{text}; the picture may not show it.")

    def _vae(self) -> None:
        if self.vae is None:
            return
        if "vaeModel" not in self.variant.fields:
            raise BadInput(f"{self.variant.path} takes no VAE, but {self._who(self.vae)} is set.")
        if self.vae.type and self.vae.type != "vae":
            raise BadInput(f"{self._who(self.vae)} is a {self.vae.type}, not a VAE.")
        self._fits_family(self.vae, "VAE")
        self.input["vaeModel"] = self.vae.air

    def _pictures(self) -> None:
        fields, image, mask = self.variant.fields, self.wanted.image, self.wanted.mask
        takes = "image" if "image" in fields else "images" if "images" in fields else None
        if image is not None:
            if takes is None:
                raise BadInput(f"{self.variant.path} takes no image, but one is connected.")
            self.input[takes] = _inline(image) if takes == "image" else [_inline(image)]
        elif takes and (fields[takes].required or self.variant.kind in (EDIT, VARIANT)):
            raise BadInput(
                f"{self.variant.path} needs an image to {self.variant.kind or 'work from'}; connect one to `image`."
            )
        strength = next((n for n in ("strength", "denoiseStrength") if n in fields), None)
        if strength and self.variant.kind == VARIANT:
            self._range(strength, self.wanted.denoise, fields[strength], "denoise")
            self.input[strength] = self.wanted.denoise
        elif image is not None and self.wanted.denoise not in (DEFAULT_DENOISE, 1):
            self.unused.append("denoise")
        if mask is not None:
            name = next((n for n in ("mask", "maskImage") if n in fields), None)
            if name is None:
                raise BadInput(f"{self.variant.path} takes no mask, but one is connected.")
            self.input[name] = _inline(mask)

    def _extra(self) -> None:
        for name, value in self.wanted.extra.items():
            if value is not None and value != "":
                self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        field_ = self.variant.fields.get(name)
        if field_ is None:
            raise BadInput(f"{self.variant.path} has no input {name!r}.")
        if field_.choices and value not in field_.choices:
            raise FieldRefused(name, value, f"one of {', '.join(map(str, field_.choices))}", self.variant.path)
        kinds: dict[str, tuple[type, ...]] = {
            "integer": (int,),
            "number": (int, float),
            "boolean": (bool,),
            "string": (str,),
        }
        wrong = field_.type in kinds and not isinstance(value, kinds[field_.type])
        if wrong or (isinstance(value, bool) and field_.type in ("integer", "number")):
            raise FieldRefused(name, value, f"a {field_.type}", self.variant.path)
        if field_.type in ("integer", "number"):
            self._range(name, value, field_)
        self.input[name] = value

    def _required(self) -> None:
        """Fill what must be there and has an honest empty value; refuse what a person has to give."""
        for name, field_ in self.variant.fields.items():
            if not field_.required or name in self.input:
                continue
            if field_.type == "style-references":
                self.input[name] = []
            elif field_.type == "air":
                # sdcpp/flux1 lists four component AIRs as required, but takes the short form (orchestration-api §5.5).
                continue
            else:
                raise BadInput(f"{self.variant.path} needs {name}.")

    def _range(self, name: str, value: float, field_: Any, ours: str = "") -> None:
        low, high = field_.minimum, field_.maximum
        if not math.isfinite(value):
            raise FieldRefused(ours or name, value, "a number", self.variant.path)
        if (low is not None and value < low) or (high is not None and value > high):
            words = f"{_plain(low)} to {_plain(high)}" if low is not None and high is not None else ""
            words = words or (f"{_plain(low)} or more" if low is not None else f"{_plain(high)} or less")
            raise FieldRefused(ours or name, value, words, self.variant.path)

    @staticmethod
    def _who(resource: ModelVersion) -> str:
        return " ".join(part for part in (resource.name, resource.version_name) if part) or resource.air


def _plain(number: float | None) -> str:
    return f"{number:g}" if number is not None and number < 1e6 else str(number)


def _inline(png: bytes) -> str:
    if len(png) > LARGEST_INLINE:
        raise NotAPicture(
            f"The picture is {len(png) / 1e6:.1f} MB as PNG; up to {LARGEST_INLINE / 1e6:.1f} MB can be sent "
            "along. Make it smaller."
        )
    _png_size(png)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png_size(png: bytes) -> tuple[int, int]:
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 33:
        raise NotAPicture("The source picture is not a PNG.")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _distance(wanted: tuple[float, float], offered: tuple[float, float]) -> tuple[float, float]:
    """How far a shape is from the wanted one: by ratio first, then by area."""
    ratio = abs(math.log((wanted[0] / wanted[1]) / (offered[0] / offered[1])))
    return round(ratio, 6), abs(math.log((wanted[0] * wanted[1]) / (offered[0] * offered[1])))


def _by_content(value: Any) -> Any:
    """The same with every inline picture replaced by its SHA-256."""
    if isinstance(value, str) and value.startswith("data:"):
        return "sha256:" + hashlib.sha256(value.encode()).hexdigest()
    if isinstance(value, Mapping):
        return {name: _by_content(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_by_content(inner) for inner in value]
    if isinstance(value, float) and value == int(value):
        return int(value)
    return value


def _same(sent: Any, got: Any) -> bool:
    if isinstance(sent, bool) or isinstance(got, bool):
        return sent is got
    if isinstance(sent, (int, float)) and isinstance(got, (int, float)):
        return sent == got or (isinstance(sent, float) and math.isclose(sent, got, rel_tol=1e-6))
    if isinstance(sent, str) and isinstance(got, str):
        return sent.strip() == got.strip() or (sent.lower().startswith("urn:air:") and sent.lower() == got.lower())
    if isinstance(sent, Mapping) and isinstance(got, Mapping):
        theirs = {str(name).lower(): value for name, value in got.items()}
        return all(str(n).lower() in theirs and _same(v, theirs[str(n).lower()]) for n, v in sent.items())
    if isinstance(sent, (list, tuple)) and isinstance(got, (list, tuple)):
        return len(sent) == len(got) and all(_same(a, b) for a, b in zip(sent, got, strict=True))
    return sent == got


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
