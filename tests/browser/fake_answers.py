"""Answers of our routes that a test hands to the page, with everything in them that a stranger may write."""

from __future__ import annotations

from typing import Any

HOSTILE = '<img src=x onerror="window.cbHurt=1">'


def model(number: int, **changes: Any) -> dict[str, Any]:
    """One model of a graph; every third is missing."""
    missing = number % 3 == 0
    return {
        "node": str(number), "title": "Load LoRA", "input": "lora_name", "name": f"style_{number:03}.safetensors",
        "kind": "lora", "folder": "loras", "place": "disk", "component": False, "reference": str(300000 + number),
        "air": "", "version_id": 300000 + number, "model_id": 200000 + number, "model_name": f"Style {number}",
        "base_model": "SDXL 1.0", "status": "missing" if missing else "present", "here": not missing,
        "missing": missing, "file": "" if missing else f"style_{number:03}.safetensors", "size": 228 * 10**6,
        "license": {"sentences": ["You may sell what it makes.", "Credit the creator."]}, "early_access": None,
        "restricted": "", "trigger_words": ["some style"], "parts": [], "newer": None, "preview": None, "url": "",
        "notes": [],
    } | changes  # fmt: skip


def graph(models: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What the server says of a graph."""
    return {
        "hash": "a" * 64, "asks": False, "most_buzz": 0, "unlimited": False, "paying": [], "hosts": [], "writes": [],
        "downloads": [], "notes": [], "agreed": None, "sandbox": False, "damage": None, "models": models,
        "missing": sum(each["missing"] for each in models), "models_note": "",
    } | changes  # fmt: skip
