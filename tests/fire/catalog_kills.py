"""Kills a process that changes the catalogs, again and again at random moments, and looks whether they are whole.

    python tests/fire/catalog_kills.py [ROUNDS]        200 rounds by default

After every kill both files must be valid JSON as they lie there; after the next opening every entry that was reported
as added is there exactly once, every promoted one in loras.json, and what was there before is untouched.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from civitai_bridge.catalog.entries import LORAS, MODELS  # noqa: E402
from civitai_bridge.catalog.promote import promote  # noqa: E402
from civitai_bridge.catalog.store import CatalogStore  # noqa: E402

ODD = '{ "version": 1, "x": 1.50,\r\n "categories": [ {"id":"loras", "models":[ {"file": "mine", "n": 1E+2} ]} ] }'


def work(folder: Path, first: int) -> None:
    """Add and promote until killed; each step is written to `log` when it is done."""
    store = CatalogStore(folder)
    with open(folder / "log", "a", encoding="ascii") as log:
        for number in range(first, first + 100_000):
            entry = {"file": f"{number}.pt", "dest": "loras", "civitai_version_id": number, "base_model": "Pony"}
            with store.changing() as change:
                change.append(MODELS, "loras", entry)
            log.write(f"added {number}\n")
            log.flush()
            if number % 3:
                promote(store, number)
                log.write(f"promoted {number}\n")
                log.flush()
            if number % 7 == 0:
                log.write(f"removing {number - 3}\n")
                log.flush()
                with store.changing() as change:
                    for name in (MODELS, LORAS):
                        change.remove(name, lambda raw, gone=number - 3: raw.get("civitai_version_id") == gone)
                log.write(f"removed {number - 3}\n")
                log.flush()


def look(folder: Path) -> list[str]:
    """What is wrong with the catalogs, in words."""
    wrong = []
    for name in (MODELS, LORAS):
        if (folder / name).exists():
            try:
                json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                wrong.append(f"{name} is no JSON: {error}")
    store = CatalogStore(folder)
    both = {name: [entry.version_id for entry in store.load(name).entries()] for name in (MODELS, LORAS)}
    if both[MODELS].count(None) != 1 or '{"file": "mine", "n": 1E+2}' not in (folder / MODELS).read_text():
        wrong.append("the entry that was there before was touched")
    everything = [number for name in both for number in both[name] if number is not None]
    doubled = {number for number in everything if everything.count(number) > 1}
    wrong += [f"{number} is there twice" for number in doubled]
    done: dict[str, set[int]] = {what: set() for what in ("added", "promoted", "removing", "removed")}
    lines = (folder / "log").read_text().splitlines() if (folder / "log").exists() else []
    for line in lines:
        what, number = line.split()
        done[what].add(int(number))
    staying = done["added"] - done["removing"]  # a removal may have happened and not been noted
    wrong += [f"{number} was added and is lost" for number in staying - set(everything)]
    wrong += [
        f"{number} was promoted and is not in {LORAS}" for number in (done["promoted"] & staying) - set(both[LORAS])
    ]
    wrong += [f"{number} was removed and is still there" for number in done["removed"] & set(everything)]
    if (folder / ".promoting.json").exists():
        wrong.append("a promote was not finished")
    return wrong


def rounds(count: int, seed: int = 0) -> list[str]:
    """Run and kill `count` times; answers with everything that was wrong."""
    chance = random.Random(seed)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(count):
            if number % 20 == 0:
                for old in folder.iterdir():
                    old.unlink()
                (folder / MODELS).write_text(ODD)
            command = [sys.executable, __file__, "--work", str(folder), str(1000 * (number + 1))]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert process.stdout
            process.stdout.readline()
            time.sleep(chance.random() ** 2 * 0.15)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            wrong += [f"round {number}: {one}" for one in look(folder)]
    return wrong


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        print("ready", flush=True)
        work(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
        found = rounds(count, seed=int(time.time()))
        print("\n".join(found))
        print(f"{count} kills, {len(found)} troubles.")
        sys.exit(bool(found))
