"""The floors of the house, and a drawing of it:  python3 tools/dev.py house

`FLOORS` says who may import whom, and tests/test_floors.py holds the source to it. The drawing, made with ast alone,
goes into docs/architecture.md, and a test keeps it true.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "civitai_bridge"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- house -->", "<!-- /house -->"

# Imports go down, or along a floor. A file may stand lower than its folder: the longest name that fits counts.
FLOORS: dict[int, tuple[str, ...]] = {
    0: (
        "errors", "resources", "metadata.prompt", "metadata.samplers", "orchestration.timings", "orchestration.turns",
        "model_files.atomic", "model_files.database", "model_files.names", "model_files.progress",
        "model_files.safetensors", "model_files.architecture", "model_files.hashing", "model_files.listing",
        "workflows.identifiers", "workflows.moments",
    ),
    1: (
        "metadata", "pictures", "network.exchange", "network.hosts",
        "orchestration.request", "orchestration.outcome", "orchestration.fill", "orchestration.workflow",
        "orchestration.variants", "orchestration.body", "orchestration.echo", "orchestration.fields",
        "orchestration.sizes", "orchestration.fitting", "orchestration.engine_choice",
        "orchestration.source_pictures", "orchestration.purchase", "orchestration.limits",
        "orchestration.tags", "orchestration.ledger",
        "catalog.entries", "catalog.edit", "catalog.layout", "sandbox",
        "graphs.opened", "graphs.deeds", "graphs.fingerprint", "graphs.analysis", "graphs.models",
        "graphs.paste",
        "workflows.outputs", "workflows.details", "workflows.job_details", "workflows.query",
        "workflows.documents", "workflows.texts",
    ),
    2: ("network", "settings", "graphs.rules", "graphs.consents"),
    3: (
        "website", "orchestration.client", "orchestration.journal", "orchestration.purchase_table",
        "orchestration.owners", "orchestration.users", "orchestration.watcher",
        "orchestration.results", "catalog.store", "catalog.catalog_file",
        "model_files", "workflows.client",
    ),
    4: ("orchestration", "catalog", "graphs", "model_files.download", "routes.image_answer", "link", "workflows"),
    5: ("app", "wording"),
    6: ("cli", "routes", "__main__"),
}  # fmt: skip
TITLES = {0: "values", 1: "shapes", 2: "outside", 3: "services", 4: "stories", 5: "app", 6: "faces"}


def modules(root: Path = LIBRARY) -> dict[str, Path]:
    """Every module of the library by its name below it."""
    named = {}
    for path in sorted(root.rglob("*.py")):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        named[name.removesuffix(".__init__")] = path
    return named


def floor(module: str) -> int | None:
    """The floor of a module; None where the table has no place for it."""
    rooms = {room: number for number, names in FLOORS.items() for room in names}
    parts = module.split(".")
    return next((rooms[name] for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in rooms), None)


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


def drawing() -> str:
    """The floors from the top with the folders that stand on them, then what each folder imports."""
    rooms: dict[int, set[str]] = {}
    below: dict[str, set[str]] = {}
    for module, targets in graph().items():
        folder = module.split(".")[0]
        if folder != "__init__":
            rooms.setdefault(floor(module) or 0, set()).add(folder)
            below.setdefault(folder, set()).update(target.split(".")[0] for target in targets)
    lines = [
        f"F{number} {TITLES[number]:9} {'  '.join(sorted(rooms[number]))}" for number in sorted(rooms, reverse=True)
    ]
    lines += ["", f"{'folder':15} imports"]
    lines += [
        f"{folder:15} {'  '.join(sorted(targets - {folder})) or '-'}" for folder, targets in sorted(below.items())
    ]
    return "\n".join(["```text", *lines, "```"])


def _listed(names: set[str]) -> str:
    return "  ".join(sorted(names))


def page_with(text: str, picture: str) -> str:
    """The page with the drawing between its marks."""
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{picture}\n{END}{rest.split(END, 1)[1]}"


def draw() -> int:
    """Write the drawing into the page."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), drawing()), encoding="utf-8")
    print(drawing())
    return 0
