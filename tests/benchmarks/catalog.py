"""Rows of `make bench` about the catalogs: statuses, adding, scanning, hashing, downloading."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from civitai_bridge.catalog.entries import MODELS
from civitai_bridge.catalog.promote import promote
from civitai_bridge.catalog.query import Query
from civitai_bridge.catalog.store import CatalogStore
from civitai_bridge.model_files.file_rows import keep_places, keep_rows
from civitai_bridge.model_files.hashing import digest_file
from civitai_bridge.model_files.index import HashIndex
from civitai_bridge.model_files.listing import Place
from civitai_bridge.model_files.progress import ScanControl
from civitai_bridge.model_files.scan import scan

ROOT = Path(__file__).resolve().parents[2]
ENTRIES, FILES = 100_000, 50_000
Row = Callable[..., None]


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def entry(number: int) -> dict[str, Any]:
    return {
        "name": f"Model number {number} v1 [SDXL 1.0 FP16]", "file": f"model_{number:06}.safetensors", "dest": "loras",
        "source": "civitai", "civitai_version_id": number, "civitai_model_id": number // 2, "civitai_file_id": number * 3,
        "size_gb": 0.228, "base_model": "SDXL 1.0", "tags": [], "trigger_words": ["a word", "another"],
        "downloads": number % 1000, "hash": sha(number).upper(),
    }  # fmt: skip


def catalog_text(count: int) -> str:
    models = [entry(number) for number in range(1, count + 1)]
    shelf = {"id": "loras", "name": "LoRAs", "models": models}
    return json.dumps({"version": 1, "date": "2026-11-20 14:05", "categories": [shelf]}, indent=2)


def statuses(row: Row, folder: Path) -> None:
    """1,000 resources of every kind against everything; half of the files are really on disk, as far as it is asked."""
    home, models = folder / "home", folder / "models" / "loras"
    home.mkdir()
    models.mkdir(parents=True)
    (home / MODELS).write_text(catalog_text(ENTRIES))
    index = HashIndex(home / "hashes.sqlite3")
    chance = random.Random(1)
    wanted = []
    for n in range(1000):
        number = chance.randrange(1, ENTRIES + 2000)  # some of them nobody knows
        if number <= FILES:
            (models / f"model_{number:06}.safetensors").touch()
        wanted.append([
            Query(version_id=number), Query(hashes=(sha(number),)), Query(hashes=(sha(number)[:10],)),
            Query(name=f"model_{number:06}"),
        ][n % 4])  # fmt: skip
    rows = []
    for n in range(1, FILES + 1):
        path = models / f"model_{n:06}.safetensors"
        size, time_ns = (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else (1, 1)
        hashes = ("", sha(n), "", "", "", "", f"out_{n}", "{}", "")
        rows.append((str(path), size, time_ns, 1, "1", str(n), *hashes))
    places = [
        Place("loras", f"model_{n:06}.safetensors", str(models / f"model_{n:06}.safetensors"), 0)
        for n in range(1, FILES + 1)
    ]
    with index.database.transaction() as connection:
        keep_rows(connection, rows)
        keep_places(connection, places)
    index.close()
    script = f"""
import json, pickle, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from civitai_bridge.catalog.state import Catalogs
from civitai_bridge.model_files.index import HashIndex
from civitai_bridge.catalog.store import CatalogStore
home, models = Path({str(home)!r}), {{"loras": [Path({str(models)!r})]}}
wanted = pickle.loads(sys.stdin.buffer.read())
times = []
start = time.perf_counter()
catalogs = Catalogs(CatalogStore(home), HashIndex(home / "hashes.sqlite3"), lambda: models)
for _ in range(30):
    found = list(catalogs.locate_all(wanted))
    times.append(time.perf_counter() - start)
    start = time.perf_counter()
print(json.dumps([times, sorted((one.status, sum(f.status == one.status for f in found)) for one in found)[::len(found) - 1]]))
"""
    import pickle

    colds, warms = [], []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script], input=pickle.dumps(wanted), capture_output=True, check=True
        )
        times, _ = json.loads(done.stdout)
        colds.append(times[0])
        warms.append(statistics.median(times[1:]))
    cold, warm = min(colds), min(warms)
    row("1,000 statuses, 100,000 entries, 50,000 files, warm", warm * 1000, "<= 20 ms", warm <= 0.02,
        "median of 29, best of 3 processes; by id, hash, short hash and name in turn", "ms")  # fmt: skip
    row("… cold", cold, "<= 1.5 s", cold <= 1.5, f"fresh process, files in the page cache; all: {_list(colds)}", "s")


def adding(row: Row, folder: Path) -> None:
    text = catalog_text(ENTRIES)
    ours, theirs = [], []
    for number in range(5):
        home = folder / f"add{number}"
        home.mkdir()
        path = home / MODELS
        path.write_text(text)
        gc.collect()
        start = time.perf_counter()
        data = json.loads(path.read_text())
        data["categories"][0]["models"].append(entry(ENTRIES + 1))
        with open(home / "theirs.json", "w") as out:
            out.write(json.dumps(data, indent=2))
            out.flush()
            os.fsync(out.fileno())
        theirs.append(time.perf_counter() - start)
        del data
        gc.collect()
        store = CatalogStore(home)
        start = time.perf_counter()
        with store.changing() as change:
            taken = sum(raw.get("civitai_version_id") == 0 for _, raw in change.load(MODELS).document.entries())
            change.append(MODELS, "loras", entry(ENTRIES + 1 + taken))
        ours.append(time.perf_counter() - start)
    mine, other = statistics.median(ours), statistics.median(theirs)
    row("adding one entry to 100,000 / loads + dumps + write + fsync", mine / other, "<= 0.5", mine / other <= 0.5,
        f"median of 5, nothing in memory before: {mine:.2f} s against {other:.2f} s (indent 2)")  # fmt: skip
    warm = []
    for number in range(5):
        start = time.perf_counter()
        with store.changing() as change:
            change.append(MODELS, "loras", entry(ENTRIES + 2 + number))
        warm.append(time.perf_counter() - start)
    row(
        "… when the catalog was read before",
        statistics.median(warm) / other,
        "-",
        None,
        f"{statistics.median(warm):.2f} s",
    )


def promoting(row: Row, folder: Path) -> None:
    """An entry from 100,000 to loras.json, nothing in memory before, against writing the same two files from values."""
    text = catalog_text(ENTRIES)
    ours, theirs, late = [], [], []
    for number in range(5):
        home = folder / f"promote{number}"
        home.mkdir()
        path = home / MODELS
        path.write_text(text)
        gc.collect()
        start = time.perf_counter()
        data = json.loads(path.read_text())
        with open(home / "theirs.json", "w") as out:
            out.write(json.dumps(data, indent=2))
            out.flush()
            os.fsync(out.fileno())
        theirs.append(time.perf_counter() - start)
        del data
        gc.collect()
        store = CatalogStore(home)
        with delays() as delayed:
            start = time.perf_counter()
            promote(store, 1000 * (number + 1))
            ours.append(time.perf_counter() - start)
        late += delayed
    ratio = statistics.median(ours) / statistics.median(theirs)
    row("promoting one of 100,000 entries / loads + dumps + write + fsync", ratio, "<= 0.5", ratio <= 0.5,
        f"median of 5, nothing in memory before: {_list(ours)} against {_list(theirs)} s")  # fmt: skip
    row("… delay of an event loop meanwhile", max(late) * 1000, "<= 20 ms", max(late) <= 0.02,
        f"the worst of {len(late)}; p99 {p99(late) * 1000:.1f} ms", "ms")  # fmt: skip


@contextmanager
def delays() -> Iterator[list[float]]:
    """How late an event loop of this process is, every 2 ms."""
    found: list[float] = []
    stop = threading.Event()

    async def watch() -> None:
        while not stop.is_set():
            due = time.perf_counter() + 0.002
            await asyncio.sleep(0.002)
            found.append(time.perf_counter() - due)

    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


def scanning(row: Row, folder: Path) -> None:
    models = {"loras": [folder / "scan" / "loras"], "checkpoints": [folder / "scan" / "checkpoints"]}
    for number in range(10_000):
        path = models["loras" if number % 3 else "checkpoints"][0] / f"{number % 50}" / f"{number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"__metadata__": {"ss_output_name": f"n{number}"}}).encode()
        path.write_bytes(len(head).to_bytes(8, "little") + head + number.to_bytes(8, "little") * 64)
    big = models["checkpoints"][0] / "big.safetensors"
    with open(big, "wb") as out:
        block = random.Random(2).randbytes(1 << 20)
        out.write((2).to_bytes(8, "little") + b"{}")  # a safetensors header, so that AutoV3 is taken too
        for _ in range(1024):
            out.write(block)
    index = HashIndex(folder / "scan.sqlite3")
    start = time.perf_counter()
    with delays() as late:
        report = scan(index, models)
    first = time.perf_counter() - start
    assert report.hashed == 10_001, report
    row("p99 delay of an event loop during a first scan", p99(late) * 1000, "<= 20 ms", p99(late) <= 0.02,
        f"10,000 small files and 1 GB hashed in {first:.1f} s; worst {max(late) * 1000:.0f} ms", "ms")  # fmt: skip
    times, late_again = [], []
    for _ in range(7):
        with delays() as late:
            start = time.perf_counter()
            report = scan(index, models)
            times.append(time.perf_counter() - start)
        late_again += late
        assert report.unchanged == 10_001 and not report.hashed
    middle = statistics.median(times)
    row("second scan of 10,000 unchanged files", middle, "<= 0.3 s", middle <= 0.3, f"median of 7: {_list(times)}", "s")
    row("… p99 delay of an event loop meanwhile", p99(late_again) * 1000, "<= 20 ms", p99(late_again) <= 0.02,
        f"worst {max(late_again) * 1000:.0f} ms", "ms")  # fmt: skip
    index.close()
    hashing(row, big, folder)


def hashing(row: Row, big: Path, folder: Path) -> None:
    """One reading against each digest alone; then the whole pool, and the pool beside a prompt."""
    size = big.stat().st_size
    gb = size / 1e9

    def alone(start: int, end: int | None) -> float:
        best = 1e9
        for _ in range(3):
            begun, taken, buffer = time.perf_counter(), hashlib.sha256(), bytearray(512 * 1024)
            with open(big, "rb", buffering=0) as source:
                source.seek(start)
                left = (end or size) - start
                while left > 0 and (got := source.readinto(memoryview(buffer)[: min(left, len(buffer))])):
                    taken.update(memoryview(buffer)[:got])
                    left -= got
            best = min(best, time.perf_counter() - begun)
        return best / gb

    whole = alone(0, None)
    each = whole + alone(10, None) + alone(0x100000, 0x110000)
    seconds = min(_timed(lambda: digest_file(big)) for _ in range(3)) / gb
    ratio = each / seconds
    row("hashing from the page cache, one reading, one core", ratio, ">= 0.9", ratio >= 0.9,
        f"{1 / seconds:.2f} GB/s; SHA256 + AutoV3 + AutoV1 alone {each:.2f} s per GB together")  # fmt: skip
    seconds = min(_timed(lambda: digest_file(big, two_threads=True)) for _ in range(3)) / gb
    ratio = whole / seconds
    row("hashing one safetensors file on two cores / SHA256 alone by hashlib", ratio, ">= 0.85", ratio >= 0.85,
        f"SHA256, AutoV3 and AutoV1: {1 / seconds:.2f} GB/s against {1 / whole:.2f}")  # fmt: skip
    cores = os.cpu_count() or 1
    files = {"x": [folder / "pool"]}
    (folder / "pool").mkdir()
    copies = 2 * cores
    for number in range(copies):
        part = folder / "pool" / f"{number}.safetensors"
        with open(big, "rb") as source, open(part, "wb") as out:
            out.write(source.read(300_000_000) + bytes([number]))
    total = sum(path.stat().st_size for path in (folder / "pool").iterdir()) / 1e9
    index = HashIndex(folder / "pool.sqlite3")
    spent = time.process_time()
    seconds = _timed(lambda: scan(index, files))
    used = (time.process_time() - spent) / seconds
    ratio = (total / seconds) / (used / each)
    row(f"… the pool on {cores} cores, by cores used", ratio, ">= 0.9", ratio >= 0.9,
        f"{total / seconds:.2f} GB/s with {used:.2f} cores used")  # fmt: skip
    index.close()
    index = HashIndex(folder / "pool2.sqlite3")
    spent = time.process_time()
    seconds = _timed(lambda: scan(index, files, ScanControl(pause=lambda: True)))
    used = (time.process_time() - spent) / seconds
    row(
        "… cores used while a prompt runs", used, f"<= {cores / 2:g}", used <= cores / 2 * 1.02, "CPU seconds / seconds"
    )
    index.close()


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _list(times: list[float]) -> str:
    return " ".join(f"{one:.2f}" for one in times)


# --- downloads, each side in a process of its own

_SERVER = """
import asyncio, sys
from aiohttp import web
SIZE, PATH = int(sys.argv[1]), sys.argv[2]
async def site(request):
    return web.Response(status=307, headers={"Location": f"http://127.0.0.1:{storage_port}/file"})
async def file(request):
    return web.FileResponse(PATH, headers={"Content-Type": "application/octet-stream"}, chunk_size=1 << 20)
async def main():
    global storage_port
    ports = []
    for path, handler in (("/file", file), ("/api/download/models/1", site)):
        app = web.Application()
        app.router.add_get(path, handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
        storage_port = ports[0]
    print(*ports, flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""

_CLIENT = """
import asyncio, json, os, sys, threading, time
sys.path.insert(0, {root!r})
from pathlib import Path
from civitai_bridge.model_files.download import Downloads
from civitai_bridge.network.client import HttpClient
from civitai_bridge.resources.version import ModelFile
from civitai_bridge.settings import Settings
what, storage, site, size, sha, folder = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6]

def resident():
    with open("/proc/self/status") as source:
        return next(int(line.split()[1]) for line in source if line.startswith("RssAnon")) / 1024

async def main():
    async with HttpClient() as network:
        network.allow_loopback("http://127.0.0.1:" + storage)
        at = "http://127.0.0.1:" + site
        downloads = Downloads(Settings(key="me", site_url=at), network.send_to(at, "me"), network.open_file)
        async with network.open_file("http://127.0.0.1:" + storage + "/file", {{"range": "bytes=0-9"}}) as (answer, _):
            async for _ in answer.chunks:
                pass
        idle, most, done = resident(), 0.0, threading.Event()
        def watch():
            nonlocal most
            while not done.wait(0.02):
                most = max(most, resident())
        if sys.platform == "linux":
            threading.Thread(target=watch, daemon=True).start()
        start, cpu = time.perf_counter(), time.process_time()
        if what == "nowhere":
            import httpx
            async with httpx.AsyncClient(trust_env=False) as plain:
                async with plain.stream("GET", "http://127.0.0.1:" + storage + "/file") as answer:
                    async for chunk in answer.aiter_raw():
                        pass
        else:
            file = ModelFile(1, "x.safetensors", "Model", size / 1024, {{"SHA256": sha}})
            landed = await downloads.load(1, file, Path(folder) / "x.safetensors")
            assert landed.size == size and landed.verified
        seconds = time.perf_counter() - start
        done.set()
        print(json.dumps([seconds, most - idle, time.process_time() - cpu]))

asyncio.run(main())
"""


def downloading(row: Row, gigabytes: float = 2.0) -> None:
    """Over loopback to a RAM disk, against httpx streaming the same bytes to nowhere in the same kind of process."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as name:
        folder = Path(name)
        stat = os.statvfs(folder)
        while gigabytes > 0.1 and stat.f_bavail * stat.f_frsize < 2.5 * gigabytes * 1e9:
            gigabytes /= 2
        size, taken = int(gigabytes * 1e9) // (1 << 20) * (1 << 20), hashlib.sha256()
        block = random.Random(3).randbytes(1 << 20)
        with open(folder / "source", "wb") as out:
            for _ in range(size >> 20):
                out.write(block)
                taken.update(block)
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(size), str(folder / "source")], stdout=subprocess.PIPE, text=True
        )
        assert server.stdout
        storage, site = server.stdout.readline().split()
        results: dict[str, list[list[float]]] = {"nowhere": [], "disk": []}
        plain: list[float] = []
        try:
            for _ in range(5):
                for what in results:
                    (folder / "x.safetensors").unlink(missing_ok=True)
                    _touch_memory(folder / "touched", size)
                    script = _CLIENT.format(root=str(ROOT))
                    command = [sys.executable, "-c", script, what, storage, site, str(size), taken.hexdigest(), name]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(done.stderr[-3000:])
                    results[what].append(json.loads(done.stdout))
                if shutil.which("curl") and shutil.which("sha256sum"):
                    plain.append(_timed(lambda: _curl_and_hash(f"http://127.0.0.1:{storage}/file")))
        finally:
            server.terminate()
            server.wait(10)
    nowhere, disk = (min(one[0] for one in results[what]) for what in ("nowhere", "disk"))
    memory = max(one[1] for one in results["disk"])
    ratio = nowhere / disk
    where = "a RAM disk" if ram.is_dir() else "the disk (no RAM disk here)"
    row(f"download of {size / 1e9:.1f} GB, verified / httpx to nowhere", ratio, ">= 0.9", ratio >= 0.9,
        f"best of 5, to {where}: {size / 1e9 / disk:.2f} against {size / 1e9 / nowhere:.2f} GB/s; "
        f"CPU {_cpu(results['disk'])} against {_cpu(results['nowhere'])} s")  # fmt: skip
    if plain:
        row("… / curl | sha256sum", disk / min(plain), "<= 1.0", disk <= min(plain),
            f"best of 5: {disk:.2f} against {min(plain):.2f} s")  # fmt: skip
    row("… memory above the idle process", memory, "<= 32 MB", memory <= 32, "largest of 5", "MB")


def _curl_and_hash(address: str) -> None:
    curl = subprocess.Popen(["curl", "-s", address], stdout=subprocess.PIPE)
    subprocess.run(["sha256sum"], stdin=curl.stdout, stdout=subprocess.DEVNULL)
    curl.wait()


def _touch_memory(path: Path, size: int) -> None:
    """A virtual machine gets its memory at the first touch, which takes longer than all that is measured here."""
    block = bytes(1 << 20)
    with open(path, "wb") as out:
        for _ in range(size >> 20):
            out.write(block)
    path.unlink()


def _cpu(results: list[list[float]]) -> str:
    return f"{min(one[2] for one in results):.1f}"


def catalogs(row: Row) -> None:
    with tempfile.TemporaryDirectory() as name:
        statuses(row, Path(name))
        adding(row, Path(name))
        promoting(row, Path(name))
        scanning(row, Path(name))
    downloading(row)
