"""ComfyUI's graphs: the prompt (API format) as it ran, or the workflow as the page drew it.

Read from the samplers backwards: what no sampler sees took no part. Samplers, loaders and encoders are known by the
shape of their inputs, so that the packs which copy core's names (Efficiency, Impact, rgthree, LoRA Manager) need no
list of classes. A value that is wired in is followed through nodes that hand on what is written in them, which are
listed below by class and slot; what any other node makes when the graph runs is not guessed at but said to be made
elsewhere. Sources: facts/site-api.md §2.7 (what CivitAI reads), §8.3 (LoRA nodes), ComfyUI's own node inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...resources.hashes import normal_hash
from ...resources.json_values import number, whole
from ..generation import GenerationData, Upscale, UsedResource, by_list
from ..quantities import guidance_scale, layers, pixels, shown, step_count
from ..resources import from_air, join, kind_of, named_embeddings, tagged
from ..tables import DECODER

MOST_NODES = 20_000
_DEEPEST = 100
# Characters that text nodes may put together: a node that joins a text with itself doubles it.
_LONGEST_TEXT = 1_000_000
_MOST_NOTES = 200
_MOST_SAMPLERS = 64
_MUTED, _BYPASSED = 2, 4

Link = tuple[str, int]
Graph = dict[str, dict[str, Any]]

_MODEL_INPUTS = ("ckpt_name", "unet_name", "base_ckpt_name", "model_path", "gguf_name")
_TEXTS = ("populated_text", "text", "prompt", "string", "value", "text_g", "text_l", "clip_l", "t5xxl", "wildcard_text")
# Nodes that hand on a value that is written in them: class -> the input that each output slot gives.
_PRIMITIVES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "PrimitiveNode", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean", "PrimitiveString",
            "PrimitiveStringMultiline", "INTConstant", "FloatConstant", "BOOLConstant", "ImpactInt", "ImpactFloat",
            "ImpactBoolean", "easy int", "easy float", "easy string", "easy boolean", "JWInteger", "JWFloat",
        ),
        ("value",),
    ),
    **dict.fromkeys(("StringConstant", "StringConstantMultiline", "String Literal", "String Literal (Image Saver)",
                     "Primitive string [Crystools]", "Primitive string multiline [Crystools]"), ("string",)),
    **dict.fromkeys(("Text Multiline", "Text box", "JWString", "CR Text", "ttN text", "ShowText|pysssss"), ("text",)),
    **dict.fromkeys(("Int Literal", "Int Literal (Image Saver)", "Primitive integer [Crystools]", "ttN int"), ("int",)),
    **dict.fromkeys(
        (
            "Float Literal", "Float Literal (Image Saver)", "Cfg Literal", "Cfg Literal (Image Saver)",
            "Primitive float [Crystools]", "ttN float",
        ),
        ("float",),
    ),
    **dict.fromkeys(("Seed (rgthree)", "Seed Generator", "Seed Generator (Image Saver)", "easy seed", "ttN seed",
                     "CR Seed", "Seed Everywhere"), ("seed",)),
    "Seed": ("seed", "seed", "seed", "seed"),
    "Text String": ("text", "text_b", "text_c", "text_d"),
    "CR Prompt Text": ("prompt",),
    "easy positive": ("positive",),
    "easy negative": ("negative",),
    "ImpactWildcardProcessor": ("populated_text",),
    "PreviewAny": ("source",),
    **dict.fromkeys(("Sampler Selector", "Sampler Selector (Image Saver)"), ("sampler_name",)),
    **dict.fromkeys(("Scheduler Selector", "Scheduler Selector (Image Saver)"), ("scheduler",)),
    **dict.fromkeys(("Checkpoint Selector", "Checkpoint Selector (Image Saver)", "easy ckptNames"), ("ckpt_name",)),
}  # fmt: skip
# Nodes that hand on their only wire.
_REROUTES = frozenset(("Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss", "ReroutePrimitive"))
# Nodes that join texts: class -> the inputs in their order, the input that holds what goes between them, and whether
# an empty one is passed over.
_JOINERS: Mapping[str, tuple[tuple[str, ...], str, bool]] = {
    "StringConcatenate": (("string_a", "string_b"), "delimiter", False),
    "JoinStrings": (("string1", "string2"), "delimiter", False),
    "CR Text Concatenate": (("text1", "text2"), "separator", False),
    "Text Concatenate": (("text_a", "text_b", "text_c", "text_d"), "delimiter", True),
}
_CONDITIONINGS = (
    "conditioning",
    "conditioning_1",
    "conditioning_2",
    "conditioning_to",
    "conditioning_from",
    "cond1",
    "cond2",
)
_STACKS = ("lora_stack", "optional_lora_stack", "LORA_STACK")
_MODEL_LINKS = ("model", "unet", "base_model")
_LATENTS = ("latent_image", "latent", "samples", "optional_latent")
_SCHEDULERS = {
    "KarrasScheduler": "karras",
    "ExponentialScheduler": "exponential",
    "PolyexponentialScheduler": "exponential",
    "BetaSamplingScheduler": "beta",
    "AlignYourStepsScheduler": "ays",
    "GITSScheduler": "gits",
    "LaplaceScheduler": "laplace",
    "SDTurboScheduler": "sgm_uniform",
    "VPScheduler": "vp",
    "LTXVScheduler": "ltxv",
    "Flux2Scheduler": "flux2",
}
_OFF = ("none", "")
# A value that is not written in the graph, and one that is being followed.
_UNKNOWN: tuple[Any, bool] = (None, False)
_ON_THE_WAY: tuple[Any, bool] = ("on the way", False)
# In `extra`: the fields whose values other nodes make when the graph runs, so that it cannot tell them.
MADE_ELSEWHERE = "made_elsewhere"
UNWRITTEN_PROMPT = "The prompt is not written in the graph."
PARTLY_WRITTEN_PROMPT = "A part of the prompt is not written in the graph."
# The weight of a network, in the same list: this and the network's file.
WEIGHT_OF = "weight of "
_CALLED = {
    "seed": "The seed", "steps": "The number of steps", "cfg": "CFG", "denoise": "The denoising strength",
    "guidance": "The guidance", "networks": "A LoRA",
}  # fmt: skip


def not_known(field: str) -> str:
    """The note about a field that is made elsewhere."""
    weight = f"A weight of {field.removeprefix(WEIGHT_OF)[:60]} (1 stands in)"
    return f"{weight if field.startswith(WEIGHT_OF) else _CALLED[field]} is not known: another node makes it."


def read_comfy(prompt: str = "", workflow: str = "") -> GenerationData | None:
    """What ComfyUI's graphs say: the prompt that ran, or where there is none the workflow. None when neither is one."""
    notes: list[str] = []
    texts = {name: text for name, text in (("prompt", prompt), ("workflow", workflow)) if text}
    drawn = _decoded(workflow, "workflow", notes) if workflow else None
    graph = _prompt_graph(_decoded(prompt, "prompt", notes), notes) if prompt else {}
    if not graph and isinstance(drawn, Mapping):
        graph = graph_of_workflow(drawn, notes)
    if not graph:
        return GenerationData(texts=texts, source="comfy", notes=tuple(notes)) if notes and _looks_like(texts) else None
    fields = _Reading(graph, notes).fields()
    fields["engine"] = "ComfyUI"
    if isinstance(drawn, Mapping):
        _extra_airs(fields, drawn)
    return GenerationData(texts=texts, source="comfy", notes=tuple(notes), **fields)


def read_graph(graph: Mapping[str, Any]) -> GenerationData | None:
    """The same for a prompt that is decoded already (the hidden input of a node that runs in it)."""
    notes: list[str] = []
    sound = _prompt_graph(graph, notes)
    if not sound:
        return None
    return GenerationData(source="comfy", engine="ComfyUI", **_Reading(sound, notes).fields(), notes=tuple(notes))


def upstream(graph: Mapping[str, Any], node: str, name: str) -> dict[str, Any]:
    """The part of a prompt that leads to one input of a node; empty where nothing is wired to it.

    Subgraphs in a prompt are expanded already, so that a node's id is a key of it."""
    found: dict[str, Any] = {}
    mine = graph.get(node)
    link = link_of(mine.get("inputs", {}).get(name)) if isinstance(mine, Mapping) else None
    todo = [link[0]] if link is not None else []
    while todo:
        key = todo.pop()
        one = graph.get(key)
        if key in found or not isinstance(one, Mapping):
            continue
        found[key] = one
        inputs = one.get("inputs")
        todo += (
            [wire[0] for value in inputs.values() if (wire := link_of(value))] if isinstance(inputs, Mapping) else []
        )
    return found


def _looks_like(texts: Mapping[str, str]) -> bool:
    return any("class_type" in text or '"nodes"' in text for text in texts.values())


def _decoded(text: str, name: str, notes: list[str]) -> Any:
    """JSON as ComfyUI writes it, with `NaN` in it, or as the site stores it, with `undefined`."""
    text = text.strip().strip("\0")
    try:
        value, end = DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        try:
            value, end = DECODER.raw_decode(text.replace(":undefined", ":null").replace(": undefined", ": null"))
        except (ValueError, RecursionError):
            notes.append(f"The {name} graph is cut off or broken: it could not be read.")
            return None
        end = len(text)
    if text[end:].strip():
        notes.append(f"Behind the {name} graph stands more text, which is left out.")
    return value


def _prompt_graph(value: Any, notes: list[str]) -> Graph:
    """The nodes of a prompt; what is no node is left out."""
    if not isinstance(value, Mapping):
        return {}
    if isinstance(value.get("prompt"), Mapping) and "class_type" not in value:
        value = value["prompt"]
    graph: Graph = {}
    for key, node in value.items():
        if not isinstance(node, Mapping) or not isinstance(node.get("class_type"), str):
            continue
        if len(graph) >= MOST_NODES:
            notes.append(f"The graph has more than {MOST_NODES:,} nodes; the rest is left out.")
            break
        inputs = node.get("inputs")
        graph[str(key)] = {
            "class_type": node["class_type"],
            "inputs": dict(inputs) if isinstance(inputs, Mapping) else {},
        }
    return graph


def link_of(value: object) -> Link | None:
    """A wire of a prompt: the node at its other end and the slot; None for a value."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], (str, int)):
        slot = value[1]
        if isinstance(slot, int) and not isinstance(slot, bool) and not isinstance(value[0], bool):
            return str(value[0]), slot
    return None


class _Reading:
    """One graph and what was found in it. `notes` is the caller's list."""

    def __init__(self, graph: Graph, notes: list[str]) -> None:
        self.graph = graph
        self.notes = notes
        self.elsewhere: dict[str, None] = {}
        self.silent = False
        self.handed_on: dict[Link, tuple[Any, bool]] = {}
        self.room = _LONGEST_TEXT
        self.sources = {node: [other for _, (other, _) in self.links(node)] for node in graph}

    def note(self, sentence: str) -> None:
        if len(self.notes) < _MOST_NOTES and sentence not in self.notes:
            self.notes.append(sentence)
            if len(self.notes) == _MOST_NOTES:
                self.notes.append("There is more to say of this graph than is listed here.")

    def fields(self) -> dict[str, Any]:
        found = self.told()
        if self.elsewhere:
            found["extra"] = {MADE_ELSEWHERE: list(self.elsewhere)}
        return found

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        samplers = self.samplers()
        if not samplers:
            self.note("The graph has no sampler that is known here; its resources are listed as they stand in it.")
            self.resources(found, list(self.graph))
            found["detected_type"] = self.detected([], list(self.graph), None)
            return found
        first = samplers[0]
        together = self.together(samplers)
        if len(together) < len(samplers):
            self.note("The graph makes several pictures that have no part in one another; this tells of one of them.")
            samplers = together
        chain = self.ancestors([first])
        self.sampling(found, first)
        self.texts(found, first)
        self.size(found, first)
        used = self.ancestors(samplers)
        self.model(found, first, chain)
        self.resources(found, [node for node in used if node in self.graph])
        self.second_pass(found, first, samplers[1:])
        found["detected_type"] = self.detected(samplers, used, found.get("denoise"))
        return found

    # --- the graph -----------------------------------------------------------------------------------------------

    def inputs(self, node: str) -> dict[str, Any]:
        return self.graph[node]["inputs"]

    def kind(self, node: str) -> str:
        return self.graph[node]["class_type"]

    def links(self, node: str) -> Iterator[tuple[str, Link]]:
        for name, value in self.inputs(node).items():
            if (link := link_of(value)) is not None and link[0] in self.graph:
                yield name, link

    def ancestors(self, nodes: Iterable[str]) -> list[str]:
        """The nodes and all that they depend on, nearest first; a cycle is gone round once."""
        order, seen = [], set(nodes)
        todo = list(dict.fromkeys(nodes))
        for node in todo:
            order.append(node)
            for other in self.sources[node]:
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return order

    def fed_by(self, starts: Iterable[str]) -> set[str]:
        """The nodes and all that depend on them."""
        onward: dict[str, list[str]] = {}
        for node, sources in self.sources.items():
            for other in sources:
                onward.setdefault(other, []).append(node)
        seen = set(starts)
        todo = list(seen)
        while todo:
            more = [node for node in onward.get(todo.pop(), ()) if node not in seen]
            seen.update(more)
            todo += more
        return seen

    def value(self, value: object) -> Any:
        """A widget's value, through the nodes that hand it on; None when it is not written in the graph."""
        said, whole_ = self.said(value)
        return said if whole_ else None

    def said(self, value: object, depth: int = 0) -> tuple[Any, bool]:
        """The same, and False beside what is not all of it: a part of a text may be made elsewhere."""
        link = link_of(value)
        if link is None or link[0] not in self.graph:
            return (value, True) if link is None else (None, False)
        if link not in self.handed_on:
            self.handed_on[link] = _ON_THE_WAY
            if depth > _DEEPEST:
                self.note("A wire leads through too many nodes; the value at its end stays unknown.")
                self.handed_on[link] = _UNKNOWN
            else:
                self.handed_on[link] = self.made(link, depth + 1)
        elif self.handed_on[link] is _ON_THE_WAY:
            self.note("The graph runs in a circle; a value in it stays unknown.")
            return _UNKNOWN
        return self.handed_on[link]

    def made(self, link: Link, depth: int) -> tuple[Any, bool]:
        """What a node gives at one of its outputs, if that can be told."""
        node, slot = link
        inputs, kind = self.inputs(node), self.kind(node)
        if kind == "CivitaiModelSelector":
            return self.selected(inputs, slot), True
        if (names := _PRIMITIVES.get(kind)) is not None:
            return self.said(inputs.get(names[slot]), depth) if 0 <= slot < len(names) else _UNKNOWN
        if (joined := _JOINERS.get(kind)) is not None and slot == 0:
            return self.joined(inputs, *joined, depth)
        if kind in _REROUTES and len(wires := [one for one in inputs.values() if link_of(one) is not None]) == 1:
            return self.said(wires[0], depth)
        return _UNKNOWN

    def joined(
        self, inputs: Mapping[str, Any], names: Sequence[str], between: str, passes_empty: bool, depth: int
    ) -> tuple[str, bool]:
        """Texts with a delimiter between them, as the node that joins them does it."""
        pieces = [self.said(inputs[name], depth) for name in names if name in inputs]
        delimiter, all_known = self.said(inputs.get(between, ""), depth)
        texts = [piece for piece, _ in pieces if isinstance(piece, str) and (piece or not passes_empty)]
        text = (delimiter if isinstance(delimiter, str) else ", ").join(texts)
        self.room -= len(text)
        if self.room < 0:
            self.note("The graph puts together more text than is read; what it makes stays unknown.")
            return "", False
        return text, all_known and all(known and isinstance(piece, str) for piece, known in pieces)

    def selected(self, inputs: Mapping[str, Any], slot: int) -> Any:
        """What CivitAI's own model selector hands on (facts/site-api.md §2.7)."""
        listed = inputs.get("resources_json")
        try:
            listed = json.loads(listed) if isinstance(listed, str) else listed
        except (ValueError, RecursionError):
            listed = None
        by_slot = listed.get("bySlot") if isinstance(listed, Mapping) else None
        if isinstance(by_slot, Mapping) and isinstance(by_slot.get(str(slot)), str):
            return by_slot[str(slot)]
        if isinstance(by_slot, list) and slot < len(by_slot) and isinstance(by_slot[slot], str):
            return by_slot[slot]
        return inputs.get("air")

    def word(self, node: str, *names: str) -> str:
        for name in names:
            value = self.value(self.inputs(node).get(name))
            if isinstance(value, str) and value.strip():
                return value
        return ""

    def numeric(self, node: str, names: Sequence[str], read: Any, field: str, what: str = "") -> Any:
        for name in names:
            said = self.inputs(node).get(name)
            if said is None:
                continue
            value = self.value(said)
            found = read(value)
            if found is None:
                what = what or _CALLED[field]
                self.note(not_known(field) if value is None else f"{what} is not known: {shown(value)}.")
                if value is None:
                    self.elsewhere[field] = None
            return found
        return None

    def choice(self, node: str, name: str) -> str:
        """A sampler's or scheduler's name; a wire that cannot be followed is remembered."""
        said = self.word(node, name)
        if not said and link_of(self.inputs(node).get(name)) is not None:
            self.elsewhere["sampler" if name == "sampler_name" else name] = None
        return said

    def walk(self, start: object, names: Sequence[str]) -> list[str]:
        """The nodes along one wire: from a link through the first of the named inputs of each node."""
        found: dict[str, None] = {}
        link = link_of(start)
        while link is not None and link[0] in self.graph and link[0] not in found:
            found[link[0]] = None
            inputs = self.inputs(link[0])
            link = next((one for name in names if (one := link_of(inputs.get(name))) is not None), None)
        return list(found)

    # --- samplers ------------------------------------------------------------------------------------------------

    def is_sampler(self, node: str) -> bool:
        inputs = self.inputs(node)
        if self.kind(node).startswith("CivitaiBridgeGenerate"):
            return True
        custom = ("guider" in inputs or "positive" in inputs) and "sampler" in inputs and "sigmas" in inputs
        plain = "steps" in inputs and ("seed" in inputs or "noise_seed" in inputs)
        return custom or (
            plain and any(n in inputs for n in ("sampler_name", "positive", "cfg", "latent_image", "scheduler"))
        )

    def samplers(self) -> list[str]:
        """In the order in which they ran. Only those whose picture something takes, when there is one."""
        found = [node for node in self.graph if self.is_sampler(node)]
        if len(found) < 2:
            return found
        taken = {other for node in self.graph for _, (other, _) in self.links(node)}
        found = ([node for node in found if node in taken] or found)[:_MOST_SAMPLERS]
        behind = self.samplers_behind(found)
        return sorted(found, key=lambda node: (behind[node].bit_count(), not self.from_nothing(node)))

    def samplers_behind(self, samplers: Sequence[str]) -> dict[str, int]:
        """For each node, as bits, the samplers that it depends on and itself; in a circle, which never runs, some."""
        behind = {node: 0 for node in self.graph} | {node: 1 << i for i, node in enumerate(samplers)}
        waits = {node: len(sources) for node, sources in self.sources.items()}
        onward: dict[str, list[str]] = {}
        for node, sources in self.sources.items():
            for other in sources:
                onward.setdefault(other, []).append(node)
        ready = [node for node, count in waits.items() if not count]
        for node in ready:
            for other in onward.get(node, ()):
                behind[other] |= behind[node]
                waits[other] -= 1
                if not waits[other]:
                    ready.append(other)
        return behind

    def together(self, samplers: list[str]) -> list[str]:
        """The samplers that work on one picture with the first: behind it, before it, or joined by a later one."""
        behind = self.samplers_behind(samplers)
        mine = 1
        for _ in samplers:
            more = mine
            for node in samplers:
                if behind[node] & more:
                    more |= behind[node]
            if more == mine:
                break
            mine = more
        return [node for i, node in enumerate(samplers) if mine >> i & 1]

    def from_nothing(self, node: str) -> bool:
        """Whether its latent is an empty one."""
        wire = self.walk(self.latent(node), (*_LATENTS, "pixels", "image"))
        return bool(wire) and "Empty" in self.kind(wire[-1])

    def latent(self, node: str) -> object:
        return next((self.inputs(node)[name] for name in _LATENTS if name in self.inputs(node)), None)

    def part(self, node: str, name: str, through: Sequence[str] = ()) -> str | None:
        """The node at the end of a wire (guider, sigmas, noise), through nodes that hand it on."""
        wire = self.walk(self.inputs(node).get(name), through or (name,))
        return wire[-1] if wire else None

    def sampling(self, found: dict[str, Any], node: str) -> None:
        seeds, steps_of, cfg_of = node, node, node
        sampler, scheduler = self.choice(node, "sampler_name"), self.choice(node, "scheduler")
        if (noise := self.part(node, "noise")) is not None:
            seeds = noise
        if (guider := self.part(node, "guider")) is not None:
            cfg_of = guider
        if (chosen := self.part(node, "sampler")) is not None:
            sampler = self.choice(chosen, "sampler_name") or self.word(chosen, "solver")
            sampler = sampler or ("" if "sampler" in self.elsewhere else self.kind(chosen))
        if (sigmas := self.part(node, "sigmas")) is not None:
            steps_of = sigmas
            scheduler = self.choice(sigmas, "scheduler")
            if not scheduler and "scheduler" not in self.elsewhere:
                scheduler = _SCHEDULERS.get(self.kind(sigmas), self.kind(sigmas))
        seed = self.numeric(seeds, ("seed", "noise_seed"), whole, "seed")
        found.update(
            seed=seed,
            steps=self.numeric(steps_of, ("steps",), step_count, "steps"),
            cfg=self.numeric(cfg_of, ("cfg", "cfg_conds", "guidance_scale"), guidance_scale, "cfg"),
            denoise=self.numeric(steps_of, ("denoise", "denoise_strength"), number, "denoise"),
            sampler=sampler,
            scheduler=scheduler,
        )
        for key in [key for key, value in found.items() if value is None]:
            del found[key]

    # --- prompts -------------------------------------------------------------------------------------------------

    def texts(self, found: dict[str, Any], node: str) -> None:
        inputs = self.inputs(node)
        guider = self.part(node, "guider")
        if self.kind(node).startswith("CivitaiBridgeGenerate"):
            for name in ("prompt", "negative_prompt"):
                self.silent = False
                found[name] = self.text(inputs.get(name))
                if self.silent:
                    self.elsewhere[name] = None
            return
        source = self.inputs(guider) if guider is not None else inputs
        positive = next((source[n] for n in ("positive", "conditioning", "cond1") if n in source), None)
        for name, start in (("prompt", positive), ("negative_prompt", source.get("negative"))):
            parts: list[str] = []
            self.silent = False
            self.follow(start, "negative" if name == "negative_prompt" else "positive", parts, set(), found, 0)
            found[name] = "\n".join(dict.fromkeys(part for part in parts if part.strip()))
            if self.silent:
                self.elsewhere[name] = None
                if found[name]:
                    self.note(PARTLY_WRITTEN_PROMPT)
        if positive is not None and not found["prompt"]:
            self.note(UNWRITTEN_PROMPT)

    def follow(
        self, start: object, side: str, parts: list[str], seen: set[str], found: dict[str, Any], depth: int
    ) -> None:
        """The texts of a conditioning, through whatever stands between it and its encoder."""
        link = link_of(start)
        if isinstance(start, str):
            parts.append(start)
        if link is None or link[0] not in self.graph or link[0] in seen:
            return
        if depth > 200:
            self.note("The prompt's wire is too long; its rest is left out.")
            self.silent = True
            return
        node = link[0]
        seen.add(node)
        inputs, kind = self.inputs(node), self.kind(node)
        if kind == "ConditioningZeroOut":
            return
        if side == "positive" and "guidance" in inputs and "guidance" not in found:
            guidance = self.numeric(node, ("guidance",), guidance_scale, "guidance")
            if guidance is not None:
                found["guidance"] = guidance
        if link_of(inputs.get(side)) is None and isinstance(inputs.get(side), str):
            parts.append(inputs[side])
            return
        if f"text_{side}" in inputs:
            parts.append(self.text(inputs[f"text_{side}"]))
            return
        ways = [inputs[name] for name in _CONDITIONINGS if link_of(inputs.get(name)) is not None]
        if link_of(inputs.get(side)) is not None:
            ways.append(inputs[side])
        for way in ways:
            self.follow(way, side, parts, seen, found, depth + 1)
        if not ways:
            names = [name for name in _TEXTS if name in inputs]
            if "populated_text" in names:
                names = ["populated_text"]
            said = dict.fromkeys(text for name in names if (text := self.text(inputs[name])).strip())
            parts.extend(said)
            self.silent = self.silent or not names

    def text(self, value: object) -> str:
        """A text input: what is written there, or what text nodes put together. What is made elsewhere is left out,
        and `silent` remembers it."""
        said, known = self.said(value)
        self.silent = self.silent or not known
        return said if isinstance(said, str) else ""

    # --- size, model, resources ----------------------------------------------------------------------------------

    def size(self, found: dict[str, Any], node: str) -> None:
        for one in (node, *self.walk(self.latent(node), (*_LATENTS, "pixels", "image"))):
            for names in (("width", "height"), ("empty_latent_width", "empty_latent_height")):
                written = [self.inputs(one).get(name) for name in names]
                values = [self.value(value) for value in written]
                size = [pixels(value) for value in values]
                if all(size):
                    found["width"], found["height"] = size
                    return
                if any(
                    value is None and link_of(link) is not None for value, link in zip(values, written, strict=True)
                ):
                    self.elsewhere |= {"width": None, "height": None}
                elif all(whole(value) for value in values):
                    self.note(f"The size is not known: {shown(values)}.")

    def model(self, found: dict[str, Any], node: str, chain: list[str]) -> None:
        guider = self.part(node, "guider")
        start = self.inputs(guider if guider is not None else node).get("model")
        wire = self.walk(start, _MODEL_LINKS) if link_of(start) is not None else []
        if isinstance(start, str) and start:
            _name_model(found, start)
        for one in (*reversed(wire), *chain):
            if name := self.word(one, *_MODEL_INPUTS):
                if "model_name" not in found and "model_air" not in found:
                    _name_model(found, name)
                break
        if not found.get("model_name") and not found.get("model_air"):
            linked = (self.inputs(one).get(name) for one in (*wire, *chain) for name in _MODEL_INPUTS)
            if any(link_of(value) is not None for value in linked):
                self.elsewhere["model"] = None
        for one in (*wire, *chain):
            layer = whole(self.value(self.inputs(one).get("stop_at_clip_layer", self.inputs(one).get("clip_skip"))))
            if layer is not None and layer < 0 and (skip := layers(-layer)) is not None:
                found["clip_skip"] = skip
                break

    def resources(self, found: dict[str, Any], nodes: list[str]) -> None:
        """LoRAs in the order in which they were applied, embeddings, VAE, upscalers, ControlNets, further models."""
        row = self.in_a_row(nodes)
        applied: list[UsedResource] = []
        beside: list[UsedResource] = []
        for node in reversed(nodes):
            (applied if node in row else beside).extend(self.loras(node))
            if link_of(self.inputs(node).get("loras")) is not None:
                self.elsewhere["networks"] = None
        # What stands twice in a row is applied twice; what another row holds once more is not.
        listed = [*join(join(applied, each=True) + join(beside), self.notes)]
        for prompt, source in (
            (found.get("prompt", ""), "prompt"),
            (found.get("negative_prompt", ""), "negative_prompt"),
        ):
            listed += named_embeddings(prompt, source)
        for node in nodes:
            inputs = self.inputs(node)
            for names, kind in _FILES:
                for name in names:
                    if name not in inputs or (name == "model_name" and "pscale" not in self.kind(node)):
                        continue
                    file = self.word(node, name)
                    if kind == "vae" and not file and link_of(inputs[name]) is not None:
                        self.elsewhere["vae"] = None
                    if not file or file.lower() in _OFF or file.startswith("Baked"):
                        continue
                    if kind == "vae" and "vae" not in found:
                        found["vae"] = file
                    elif kind == "checkpoint" and file in (found.get("model_name"), found.get("model_air")):
                        continue
                    else:
                        listed.append(_resource(file, kind, 1.0, None))
        if not found.get("model_name") and not found.get("model_air"):
            model = next((one for one in listed if one.kind == "checkpoint"), None)
            if model is not None:
                _name_model(found, model.air or model.name)
                listed.remove(model)
        found.update(by_list(join(listed)))

    def in_a_row(self, nodes: Sequence[str]) -> set[str]:
        """The nodes through which the first sampler's model goes, and the stacks that these take."""
        start = next((one for one in nodes if self.is_sampler(one)), None)
        if start is None:
            return set()
        guider = self.part(start, "guider")
        found = self.walk(self.inputs(guider if guider is not None else start).get("model"), _MODEL_LINKS)
        stacks = (self.walk(self.inputs(one).get(name), _STACKS) for one in (start, *found) for name in _STACKS)
        return {start, *found, *(one for stack in stacks for one in stack)}

    def loras(self, node: str) -> Iterator[UsedResource]:
        """The LoRAs that a loader, a stack or a prompt node applies, told by the names of its inputs."""
        inputs = self.inputs(node)
        kind = self.kind(node)
        yield from self.dict_loras(inputs)
        yield from self.numbered_loras(node)
        if "lora_name" in inputs or (
            "lora" in inputs and "strength" in inputs and not isinstance(inputs["lora"], Mapping)
        ):
            file = self.word(node, "lora_name", "lora")
            if not file and any(link_of(inputs.get(name)) is not None for name in ("lora_name", "lora")):
                self.elsewhere["networks"] = None
                self.note(not_known("networks"))
            names = ("strength_model", "lora_model_strength", "lora_strength", "strength", "model_strength")
            clips = ("strength_clip", "lora_clip_strength", "clip_strength")
            yield from self.lora(node, file, names, clips)
        if kind in ("LoraTagLoader", "LoraLoaderTagsQuery") or "ildcard" in kind:
            text = self.text(inputs.get("populated_text", inputs.get("text")))
            yield from tagged(text, "comfy", self.notes)

    def lora(self, node: str, file: str, names: Sequence[str], clips: Sequence[str]) -> Iterator[UsedResource]:
        if not file or file.lower() in _OFF:
            return
        weight = self.weight(node, names, file)
        clip = self.weight(node, clips, file) if any(name in self.inputs(node) for name in clips) else None
        yield _resource(file, "lora", 1.0 if weight is None else weight, clip)

    def weight(self, node: str, names: Sequence[str], file: str) -> float | None:
        return self.numeric(node, names, number, f"{WEIGHT_OF}{file}", f"A weight of {file[:60]} (1 stands in)")

    def dict_loras(self, inputs: Mapping[str, Any]) -> Iterator[UsedResource]:
        """rgthree's `lora_1: {on, lora, strength, strengthTwo}` and LoRA Manager's `loras: [{name, active, …}]`."""
        for name, value in inputs.items():
            if isinstance(value, Mapping) and "__value__" in value:
                value = value["__value__"]
            if name == "loras" and isinstance(value, list):
                entries: Iterable[Any] = value
            elif isinstance(value, Mapping) and isinstance(value.get("lora"), str):
                entries = (value,)
            else:
                continue
            for one in entries:
                if isinstance(one, Mapping) and one.get("on", one.get("active", True)) is not False:
                    yield from self.dict_lora(one)

    def dict_lora(self, one: Mapping[str, Any]) -> Iterator[UsedResource]:
        file = one.get("lora", one.get("name", one.get("air")))
        if not isinstance(file, str) or file.lower() in _OFF:
            return
        weights: list[float | None] = []
        for names in (("strength",), ("strengthTwo", "clipStrength", "strength_clip")):
            said = next((one[name] for name in names if one.get(name) is not None), None)
            weights.append(number(said))
            if said is not None and weights[-1] is None:
                self.note(f"A weight of {file[:60]} (1 stands in) is not known: {shown(said)}.")
        yield _resource(file, "lora", 1.0 if weights[0] is None else weights[0], weights[1])

    def numbered_loras(self, node: str) -> Iterator[UsedResource]:
        """The stacks of Efficiency (`lora_name_1`, `lora_wt_1` or `model_str_1`) and Comfyroll (`switch_1`)."""
        inputs = self.inputs(node)
        count = whole(self.value(inputs.get("lora_count")))
        simple = inputs.get("input_mode") == "simple"
        for i in range(1, 1 + (min(count, 99) if count is not None else 99)):
            if f"lora_name_{i}" not in inputs:
                if count is None:
                    return
                continue
            if inputs.get(f"switch_{i}", "On") in ("Off", False):
                continue
            weights = (f"lora_wt_{i}",) if simple else (f"model_str_{i}", f"model_weight_{i}", f"lora_wt_{i}")
            clips = () if simple else (f"clip_str_{i}", f"clip_weight_{i}")
            yield from self.lora(node, self.word(node, f"lora_name_{i}"), weights, clips)

    def second_pass(self, found: dict[str, Any], first: str, more: list[str]) -> None:
        """A further sampler that works on what the first one made."""
        behind = self.samplers_behind([first])
        later = next((node for node in more if behind[node]), None)
        upscaler = next((one.name or one.air for one in found.get("others", ()) if one.kind == "upscaler"), "")
        if later is None:
            if upscaler:
                found["upscale"] = Upscale(upscaler=upscaler)
            return
        second: dict[str, Any] = {}
        self.sampling(second, later)
        size: dict[str, Any] = {}
        for one in self.walk(self.latent(later), (*_LATENTS, "pixels", "image")):
            if one == first:
                break
            if (scale := number(self.value(self.inputs(one).get("scale_by")))) is not None:
                size["scale"] = scale
            width, height = (whole(self.value(self.inputs(one).get(name))) for name in ("width", "height"))
            if width and height:
                size["width"], size["height"] = width, height
        found["upscale"] = Upscale(upscaler=upscaler, steps=second.get("steps"), denoise=second.get("denoise"), **size)

    # --- what kind of picture ------------------------------------------------------------------------------------

    def detected(self, samplers: list[str], used: Iterable[str], denoise: float | None) -> str:
        """`t2i`, `i2i`, `t2v` or `i2v` (facts/site-api.md §8.4 3)."""
        kinds = {self.kind(node) for node in self.graph}
        video = any(word in kind for kind in kinds for word in ("Video", "SaveWEBM", "WanImageTo", "LTXV", "Cosmos"))
        used = list(used)
        loads = {node for node in used if "LoadImage" in self.kind(node) or "LoadVideo" in self.kind(node)}
        if video:
            into = [
                n for n in used if "ImageToVideo" in self.kind(n) or "I2V" in self.kind(n) or "Img2Vid" in self.kind(n)
            ]
            return "i2v" if loads and not self.fed_by(loads).isdisjoint(into) else "t2v"
        for node in samplers[:1]:
            latent = link_of(self.latent(node))
            behind = set(self.ancestors([latent[0]])) if latent and latent[0] in self.graph else set()
            if loads & behind and (denoise is None or denoise < 1):
                return "i2i"
        edits = [
            n
            for n in used
            if any(w in self.kind(n) for w in ("ReferenceLatent", "ImageEdit", "InpaintModel", "ForInpaint"))
        ]
        return "i2i" if loads and not self.fed_by(loads).isdisjoint(edits) else "t2i"


_FILES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("vae_name",), "vae"),
    (("control_net_name",), "controlnet"),
    (("model_name",), "upscaler"),
    (_MODEL_INPUTS, "checkpoint"),
    (("refiner_ckpt_name",), "refiner"),
)


def _resource(file: str, kind: str, weight: float, clip: float | None) -> UsedResource:
    """A resource by its file, or by the AIR that stands where a file would."""
    clip = None if clip == weight else clip
    if "@" in file and (found := from_air(file, weight=weight, clip_weight=clip, source="comfy")) is not None:
        return found if found.kind != "other" else replace(found, kind=kind)
    return UsedResource("", weight, file, kind, None, clip, "", "comfy")


def _name_model(found: dict[str, Any], file: str) -> None:
    one = _resource(file, "checkpoint", 1.0, None)
    if one.air:
        found.update(model_air=one.air, model_version_id=one.version_id, model_id=one.model_id)
    else:
        found["model_name"] = file


def _extra_airs(fields: dict[str, Any], workflow: Mapping[str, Any]) -> None:
    """`extra.ckpt_airs`, `lora_airs`, `embedding_airs`: versions that CivitAI's old pack noted, with no weight."""
    extra = workflow.get("extra")
    if not isinstance(extra, Mapping):
        return
    noted = {name: extra[name] for name in ("ckpt_airs", "lora_airs", "embedding_airs", "airs") if extra.get(name)}
    if noted:
        fields["extra"] = noted
    if extra.get("airs"):
        fields["engine"] = "Civitai"


# --- the workflow as the page drew it -----------------------------------------------------------------------------

# The widgets of core's nodes in their order, for pages that did not write the names down.
_WIDGETS: Mapping[str, tuple[str, ...]] = {
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step",
        "return_with_leftover_noise",
    ),
    "KSampler (Efficient)": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "SamplerCustom": ("add_noise", "noise_seed", "cfg"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "CFGGuider": ("cfg",),
    "FluxGuidance": ("guidance",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "UpscaleModelLoader": ("model_name",),
    "ControlNetLoader": ("control_net_name",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "EmptyHunyuanLatentVideo": ("width", "height", "length", "batch_size"),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "ImageScaleBy": ("upscale_method", "scale_by"),
    "PrimitiveNode": ("value",),
    "PrimitiveInt": ("value",),
    "PrimitiveFloat": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "LoadImage": ("image",),
}  # fmt: skip
_CONTROLS = ("fixed", "randomize", "increment", "decrement")
_SEEDS = ("seed", "noise_seed")


def graph_of_workflow(workflow: Mapping[str, Any], notes: list[str]) -> Graph:
    """The page's nodes and links as a prompt: muted ones are left out, bypassed ones and reroutes handed through."""
    nodes, links = _drawn_nodes(workflow, notes), _drawn_links(workflow)
    graph: Graph = {}
    for key, node in nodes.items():
        if node.get("mode") == _MUTED:
            continue
        inputs = _widgets(node)
        for slot in node["inputs"]:
            name, source = slot.get("name"), links.get(_key(slot.get("link")))
            if isinstance(name, str) and source is not None:
                real = _behind(source, nodes, links)
                if real is not None:
                    inputs[name] = [real[0], real[1]]
        if node.get("mode") != _BYPASSED:
            graph[key] = {"class_type": node["type"], "inputs": inputs}
    return graph


def _key(value: object) -> str:
    return str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""


def _drawn_nodes(workflow: Mapping[str, Any], notes: list[str]) -> dict[str, dict[str, Any]]:
    listed = workflow.get("nodes")
    definitions = workflow.get("definitions")
    if isinstance(definitions, Mapping) and definitions.get("subgraphs"):
        notes.append("The workflow holds subgraphs, and what is inside them is not read; the prompt would tell it.")
    nodes: dict[str, dict[str, Any]] = {}
    for node in listed[:MOST_NODES] if isinstance(listed, list) else ():
        if isinstance(node, Mapping) and isinstance(node.get("type"), str) and (key := _key(node.get("id"))):
            inputs = node.get("inputs")
            slots = [one for one in inputs if isinstance(one, Mapping)] if isinstance(inputs, list) else []
            nodes[key] = {**node, "inputs": slots}
    return nodes


def _drawn_links(workflow: Mapping[str, Any]) -> dict[str, Link]:
    """Link id -> (node, slot) it comes from; both spellings of the page."""
    found: dict[str, Link] = {}
    listed = workflow.get("links")
    for link in listed if isinstance(listed, list) else ():
        if isinstance(link, Mapping):
            link = [link.get("id"), link.get("origin_id"), link.get("origin_slot")]
        if isinstance(link, list) and len(link) >= 3 and _key(link[0]) and (slot := whole(link[2])) is not None:
            found[_key(link[0])] = (_key(link[1]), slot)
    return found


def _behind(source: Link, nodes: Mapping[str, dict[str, Any]], links: Mapping[str, Link]) -> Link | None:
    """The node that really gives a value: behind reroutes and bypassed nodes; None behind a muted one."""
    seen: set[str] = set()
    while source[0] in nodes and source[0] not in seen:
        seen.add(source[0])
        node = nodes[source[0]]
        if node.get("mode") == _MUTED:
            return None
        if node["type"] != "Reroute" and node.get("mode") != _BYPASSED:
            return source
        onward = _onward(node, source[1])
        if onward is None or (following := links.get(onward)) is None:
            return None
        source = following
    return None


def _onward(node: Mapping[str, Any], slot: int) -> str | None:
    """The link that a bypassed node hands on at this output: that of the input of the same type."""
    outputs = node.get("outputs")
    wanted = None
    if isinstance(outputs, list) and 0 <= slot < len(outputs) and isinstance(outputs[slot], Mapping):
        wanted = outputs[slot].get("type")
    slots = node["inputs"]
    same = [one for one in slots if node["type"] == "Reroute" or (wanted is not None and one.get("type") == wanted)]
    return next((key for one in same if (key := _key(one.get("link")))), None)


def _widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    """Widget values by name: as the page wrote them, from the names in its inputs, or from core's table."""
    values = node.get("widgets_values")
    if isinstance(values, Mapping):
        return {str(name): value for name, value in values.items()}
    if not isinstance(values, list):
        return {}
    named = [str(slot["name"]) for slot in node["inputs"] if isinstance(slot.get("widget"), Mapping) and "name" in slot]
    names = _WIDGETS.get(node["type"]) or tuple(named)
    found: dict[str, Any] = {}
    at = 0
    for name in names:
        if at >= len(values):
            break
        found[name] = values[at]
        at += 1
        if name in _SEEDS and at < len(values) and values[at] in _CONTROLS:
            at += 1
    for i, value in enumerate(values):
        if isinstance(value, Mapping) and isinstance(value.get("lora"), str):
            found[f"lora_{i}"] = value
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) and "name" in v for v in value):
            found["loras"] = value
    return found


def extra_metadata(data: GenerationData, text: str) -> GenerationData:
    """What CivitAI's generator writes over its graph: prompt, settings and resources (facts/site-api.md §2.7)."""
    notes: list[str] = []
    said = _decoded(text, "extraMetadata", notes)
    if isinstance(said, Mapping) and isinstance(said.get("extraMetadata"), (str, Mapping)):
        inner = said["extraMetadata"]
        said = _decoded(inner, "extraMetadata", notes) if isinstance(inner, str) else inner
    if not isinstance(said, Mapping) or not isinstance(said.get("prompt"), str):
        return data
    fields: dict[str, Any] = {"prompt": said["prompt"]}
    if isinstance(said.get("negativePrompt"), str):
        fields["negative_prompt"] = said["negativePrompt"]
    for key, name, read in (
        ("cfgScale", "cfg", number), ("steps", "steps", whole), ("seed", "seed", whole), ("denoise", "denoise", number),
        ("width", "width", whole), ("height", "height", whole), ("clipSkip", "clip_skip", whole),
    ):  # fmt: skip
        if said.get(key) is not None:
            value = read(said[key])
            if value is None:
                notes.append(f"{key} is left out: {shown(said[key])} is no value for it.")
            else:
                fields[name] = value
    resources = said.get("resources")
    listed = []
    for item in resources if isinstance(resources, list) else ():
        version = whole(item.get("modelVersionId")) if isinstance(item, Mapping) else None
        if version is None:
            continue
        weight = number(item.get("strength"))
        kind = kind_of(item.get("type"))
        if kind == "checkpoint" and "model_version_id" not in fields:
            fields["model_version_id"] = version
        else:
            listed.append(
                UsedResource("", 1.0 if weight is None else weight, "", kind, version,
                        hash=normal_hash(item.get("hash")), source="civitai_resources")
            )  # fmt: skip
    fields.update(by_list(join([*data.resources, *listed])))
    return replace(data, **fields, notes=(*data.notes, *notes))
