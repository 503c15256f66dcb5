"""Draw the library as a house of floors:  python3 tools/dev.py house

Reads the source with ast alone. Who may import whom is the table in tests/test_floors.py; this draws what is, folder by
folder, into docs/architecture.md, and a test keeps the drawing true.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "civitai_bridge"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- house -->", "<!-- /house -->"


def modules(root: Path = LIBRARY) -> dict[str, Path]:
    """Every module of the library by its name below it."""
    named = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        named[".".join(parts).removesuffix(".__init__")] = path
    return named


def imports(module: str, path: Path, names: frozenset[str]) -> set[str]:
    """Modules of the library that a file imports, wherever in it; absolute ones too."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    targets = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        name = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        if not node.level:
            name = name.removeprefix("civitai_bridge").strip(".") if name.startswith("civitai_bridge") else "?"
        for alias in node.names:
            inner = f"{name}.{alias.name}".strip(".")
            targets.add(inner if inner in names else name)
    return (targets & names) - {module}


def graph(root: Path = LIBRARY) -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    named = modules(root)
    names = frozenset(named)
    return {name: imports(name, path, names) for name, path in named.items()}


def drawing(floors: dict[int, tuple[str, ...]], titles: dict[int, str]) -> str:
    """The floors from the top, each with its rooms, and the folders that each folder imports."""
    lines = ["```text"]
    for number in sorted(floors, reverse=True):
        lines.append(f"F{number} {titles[number]:10} {', '.join(floors[number])}")
    lines += ["", "folder           imports"]
    below: dict[str, set[str]] = {}
    for module, targets in graph().items():
        below.setdefault(module.split(".")[0], set()).update(target.split(".")[0] for target in targets)
    for folder in sorted(below):
        targets = sorted(below[folder] - {folder})
        if folder not in ("__init__", "__main__"):
            lines.append(f"{folder:16} {', '.join(targets) or '-'}")
    return "\n".join([*lines, "```"])


def page_with(text: str, picture: str) -> str:
    """The page with the drawing between its marks."""
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{picture}\n{END}{rest.split(END, 1)[1]}"
