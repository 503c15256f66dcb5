"""What a reading of a graph has to say besides its fields: notes, and the fields that the graph leaves to others.

The lowest file of this folder: sentences that other rooms take back once a wire has answered them stand here too."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST_NOTES = 200
# In `extra`: the fields whose values other nodes make when the graph runs, so that it cannot tell them.
MADE_ELSEWHERE = "made_elsewhere"
UNWRITTEN_PROMPT = "The prompt is not written in the graph."
EMPTY_PROMPT = "The prompt of the graph is empty."
# How each note about a size that is not written begins; the picture itself has one.
NO_SIZE = "The size is not "
# What is said of a field that stays empty though no other node is seen to make it.
NOT_WRITTEN = {
    "prompt": UNWRITTEN_PROMPT, "seed": "The seed is not written in the graph.",
    "steps": "The number of steps is not written in the graph.", "width": "The size is not written in the graph.",
    "model": "The model is not written in the graph, or its loader is not known here.",
}  # fmt: skip
PARTLY_WRITTEN_PROMPT = "A part of the prompt is not written in the graph."
# The weight of a network, in the same list: this and the network's file.
WEIGHT_OF = "weight of "
CALLED = {
    "seed": "The seed", "steps": "The number of steps", "cfg": "CFG", "denoise": "The denoising strength",
    "guidance": "The guidance", "networks": "A LoRA", "model": "The model", "width": "The size",
    "height": "The size", "sampler": "The sampler", "scheduler": "The scheduler", "vae": "The VAE",
}  # fmt: skip


def not_known(field: str) -> str:
    """The note about a field of `CALLED`, or a weight, that another node makes."""
    weight = f"A weight of {field.removeprefix(WEIGHT_OF)[:60]} (1 stands in)"
    return f"{weight if field.startswith(WEIGHT_OF) else CALLED[field]} is not known: another node makes it."


@dataclass
class Remarks:
    """The notes of one reading (each sentence once, at most 200) and the fields that other nodes make."""

    notes: list[str] = field(default_factory=list)
    elsewhere: dict[str, None] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Add a sentence; what is beyond the two hundredth is only said to be there."""
        if len(self.notes) < _MOST_NOTES and sentence not in self.notes:
            self.notes.append(sentence)
            if len(self.notes) == _MOST_NOTES:
                self.notes.append("There is more to say of this graph than is listed here.")

    def leave(self, *fields: str) -> None:
        """Remember fields as made by other nodes, each with its note."""
        for name in fields:
            self.elsewhere[name] = None
            if name in CALLED or name.startswith(WEIGHT_OF):
                self.note(not_known(name))
