"""Who may import whom: the floors of the house, read from the source, imports hidden in functions included."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from pack_root import ROOT

LIBRARY = ROOT / "civitai_bridge"
FLOORS: dict[int, tuple[str, ...]] = {
    0: (
        "errors", "resources", "metadata.prompt", "metadata.samplers", "orchestration.timings",
        "model_files.atomic", "model_files.database", "model_files.names", "model_files.progress", "model_files.safetensors",
        "model_files.hashing", "model_files.listing",
    ),
    1: (
        "metadata", "pictures", "network.exchange", "network.hosts",
        "orchestration.request", "orchestration.outcome", "orchestration.fill", "orchestration.workflow", "orchestration.variants",
        "orchestration.body", "orchestration.echo", "orchestration.fields", "orchestration.sizes", "orchestration.fitting",
        "orchestration.source_pictures", "orchestration.purchase", "orchestration.limits",
        "catalog.entries", "catalog.edit", "catalog.layout", "catalog.shelf", "sandbox",
    ),
    2: ("network", "settings"),
    3: (
        "website", "orchestration.client", "orchestration.journal", "orchestration.purchase_table", "orchestration.owners", "orchestration.users",
        "orchestration.results", "catalog.store", "catalog.catalog_file",
        "model_files",
    ),
    4: ("orchestration", "catalog", "model_files.download", "routes.image_answer"),
    5: ("app", "wording"),
    6: ("cli", "routes", "__main__"),
}  # fmt: skip
OF_COMFYUI = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "server", "nodes", "torch"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def floor(module: str) -> int | None:
    """The floor of the longest name that fits: a file may stand lower than its folder."""
    rooms = {room: number for number, names in FLOORS.items() for room in names}
    parts = module.split(".")
    return next((rooms[name] for end in range(len(parts), 0, -1) if (name := ".".join(parts[:end])) in rooms), None)


def imports(module: str, path: Path) -> set[str]:
    """Modules of the library that a file imports, wherever in it; absolute ones too."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    known, found = set(modules()), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if not node.level:
                name = name.removeprefix("civitai_bridge").strip(".") if name.startswith("civitai_bridge") else "?"
            for alias in node.names:
                inner = f"{name}.{alias.name}".strip(".")
                target = inner if inner in known else name
                if target in known:
                    found.add(target)
    return found - {module}


def test_every_module_has_its_floor():
    assert [name for name in modules() if name != "__init__" and floor(name) is None] == []


@pytest.mark.parametrize("module", [m for m in modules() if floor(m) is not None])
def test_imports_go_down_only(module: str):
    mine = floor(module)
    assert mine is not None
    for other in imports(module, modules()[module]):
        theirs = floor(other)
        if theirs is None or other.split(".")[0] == module.split(".")[0] == "cli":
            continue
        if module.startswith("sandbox"):
            assert theirs == 0 or other.startswith("sandbox"), f"the sandbox must not know {other}"
        else:
            assert theirs <= mine, f"{module} (F{mine}) imports {other} (F{theirs})"


def test_there_is_no_ring():
    graph = {name: imports(name, path) for name, path in modules().items()}
    state: dict[str, int] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert state.get(name) != 1, f"a ring of imports: {' > '.join([*way, name])}"
        if name not in state:
            state[name] = 1
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            state[name] = 2

    for name in graph:
        visit(name, ())


def test_only_nodes_knows_comfyui_and_only_tensors_knows_torch():
    for path in [*LIBRARY.rglob("*.py"), *(ROOT / "nodes").rglob("*.py"), ROOT / "__init__.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            tops = {name.split(".")[0] for name in names} & OF_COMFYUI
            if "nodes" in path.relative_to(ROOT).parts:
                assert "torch" not in tops or path.name == "tensors.py", path
            else:
                assert not tops, f"{path.relative_to(ROOT)} imports {tops}"


def test_no_module_hides_one_of_the_standard_library():
    tops = {name.split(".")[0] for name in modules()} - {"__main__", "__init__"}
    assert tops & set(sys.stdlib_module_names) == set()
