"""The words of a face. The library's sentences speak of a graph, of inputs (`loras`) and of the command
`civitai-bridge`; at a shell there are options instead, and a ComfyUI may have no such command."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from .settings import key_variable

_LOGIN = re.compile(r"[Rr]un `civitai-bridge login`")
_AT_A_SHELL = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"queue the (?:same )?graph again,? or run", "run"),
        (r"Queue the (?:same )?graph again,? or run", "Run"),
        (r"queue the (?:same )?graph again", "run the same command again"),
        (r"Queue the (?:same )?graph again", "Run the same command again"),
        (r"connect (it|one|LoRAs) to (?=`)", r"give \1 with "),
        (r"but one is connected", "but one was given"),
        (r"turn `reuse_paid` off", "use `--no-reuse`"),
        (r"Choose `missing` = skip", "Use `--missing skip`"),
        (r"`loras`", "`--lora`"),
        (r"`(model|engine|image|mask|vae)`", r"`--\1`"),
    )
)


def at_a_shell(sentence: str) -> str:
    """A sentence for somebody who types commands.

    assert at_a_shell("Queue the graph again to buy it.") == "Run the same command again to buy it."
    """
    for pattern, words in _AT_A_SHELL:
        sentence = pattern.sub(words, sentence)
    return _about_the_key(sentence)


def at_a_graph(sentence: str) -> str:
    """A sentence for somebody who sees a node: commands as they work in this install."""
    return _about_the_key(sentence).replace("`civitai-bridge ", f"`{command()} ")


def command() -> str:
    """How this install's command line is called: `civitai-bridge` where it is on the PATH, else Python with the pack's
    folder; ComfyUI's manager installs the requirements alone."""
    if shutil.which("civitai-bridge"):
        return "civitai-bridge"
    parts = (sys.executable or "python", str(Path(__file__).resolve().parent))
    return " ".join(f'"{part}"' if " " in part else part for part in parts)


def _about_the_key(sentence: str) -> str:
    """What is wrong with a key from the environment is mended there: a stored one would not be read."""
    variable = key_variable()
    if not variable or "API key" not in sentence:
        return sentence
    return _LOGIN.sub(f"It comes from the environment variable {variable}; correct it there", sentence)
