"""The words of a face. The library's sentences speak of a graph, of inputs (`loras`) and of the command
`civitai-bridge`; at a shell there are options instead, and a ComfyUI may have no such command."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from .settings import key_variable

FIELD = "Settings → Civitai Bridge"  # where the page has a field for the key (web/views/key_field.mjs)
_LOGIN = re.compile(r"([Rr])un `civitai-bridge login`")
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
    """A sentence for somebody who sees a node: the page's field for the key first, and commands as they work in this
    install."""
    sentence = _LOGIN.sub(_enter_it, _about_the_key(sentence))
    return sentence.replace("`civitai-bridge ", f"`{command()} ")


def _enter_it(login: re.Match[str]) -> str:
    enter = "Enter" if login[1] == "R" else "enter"
    return f"{enter} your key in ComfyUI's {FIELD}, or run `civitai-bridge login`"


def command() -> str:
    """How this install's command line is called: `civitai-bridge` where it is on the PATH, else Python with the pack's
    folder; ComfyUI's manager installs the requirements alone."""
    if shutil.which("civitai-bridge"):
        return "civitai-bridge"
    parts = (sys.executable or "python", str(Path(__file__).resolve().parent))
    return " ".join(f'"{part}"' if " " in part else part for part in parts)


def public_command() -> str:
    """As `command`, for somebody who may be anybody: it names no folder but ComfyUI's own for packs and ours."""
    if shutil.which("civitai-bridge"):
        return "civitai-bridge"
    library = Path(__file__).parent  # not resolved: ComfyUI's folder may hold a link
    path = "/".join(library.parts[-3:])
    return f'python "{path}"' if " " in path else f"python {path}"


def _about_the_key(sentence: str) -> str:
    """What is wrong with a key from the environment is mended there: a stored one would not be read."""
    variable = key_variable()
    if not variable or "API key" not in sentence:
        return sentence
    sentence = sentence.replace("The API key has", f"The API key in the environment variable {variable} has")
    return _LOGIN.sub(f"It comes from the environment variable {variable}; correct it there", sentence)
