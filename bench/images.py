"""`python -m bench.images`: JPEG images to a small convolutional network, online and as a job.

Online: Takt (`takt up`, a single worker) and a FastAPI app as the guide writes it, at 64 connections, in
interleaved rounds. Job: images in a Parquet file, against decoding and prediction in this process on as many
cores. Both sides use 1 torch thread per call.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from bench.commands import ended, say
from bench.loads import Shot, h2load
from bench.processes import usage_of
from bench.samples import parse_log
from bench.servers import plain_environment
from bench.spreads import Spread, ratios, short, spread
from bench.subjects import ROOT, Subject, built
from shared.settings import environment
from stack.process_group import ProcessGroup
from stack.valkey import free_port

MODEL = Subject("vision", ROOT / "bench" / "models", {})
EXAMPLE = ROOT / "bench" / "models" / "vision" / "example.jpg"
BOUNDARY = "takt-bench"
BATCH = 32
ROW_GROUP_BYTES = 64 * 2**20
"""Takt accepts 256 MiB of a column in a row group (docs/uploads.md)."""
START_LIMIT_S = 120.0
JOB_LIMIT_S = 600.0


@dataclass(frozen=True)
class Side:
    """A running server, and the request of an image."""

    name: str
    url: str
    media_type: str
    body: bytes
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds of all its processes since their start."""
        return sum(usage_of(self.pid, {}).cpu_s.values())


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.images", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of one load (8)")
    parser.add_argument("--connections", type=int, default=64, help="(64)")
    parser.add_argument("--images", type=int, default=10_000, help="of a job; 0: no job (10000)")
    parser.add_argument("--width", type=int, default=320, help="of the photographs, 4:3 (320)")
    given = parser.parse_args(words)

    def run() -> None:
        with _servers(_photo(given.width)) as (takt, guide, folder):
            for line in _online(takt, guide, folder, given):
                print(line)
            if given.images:
                for line in _jobs(takt, folder, _photos(takt.body, given.images), given.rounds):
                    print(line)

    return ended("bench.images", run)


@contextmanager
def _servers(image: bytes) -> Iterator[tuple[Side, Side, Path]]:
    """Start both servers with the model. → Takt, the guide's app, and a folder for files."""
    artifact = built(MODEL).artifact
    form = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photo"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode() + image
    form += f"\r\n--{BOUNDARY}--\r\n".encode()
    with ExitStack() as held:
        folder = Path(held.enter_context(TemporaryDirectory(prefix="takt-bench-")))
        leash = held.enter_context(closing(ProcessGroup()))
        ports = free_port(), free_port()
        takt = str(Path(sys.executable).with_name("takt"))
        up = [takt, "up", "--models", "vision", "--models-dir", str(MODEL.repository), "--workers", "1"]
        up += ["--port", str(ports[0]), "--data", str(folder / "data")]
        app = ["-m", "uvicorn", "app.image_main:app", "--app-dir", str(ROOT / "bench/rivals/guide_app")]
        guide = [sys.executable, *app, "--host", "127.0.0.1", "--port", str(ports[1])]
        more = {"BENCH_ARTIFACT": str(artifact)}
        pids = [
            held.enter_context(_running(name, command, folder, leash, more))
            for name, command in (("takt", up), ("guide", guide))
        ]
        urls = [f"http://127.0.0.1:{port}/predict" for port in ports]
        sides = (
            Side("takt", urls[0], "image/jpeg", image, pids[0]),
            Side("guide", urls[1], f"multipart/form-data; boundary={BOUNDARY}", form, pids[1]),
        )
        answers = [_ready(side) for side in sides]
        if answers[0]["defect"] != answers[1]["defect"]:
            raise ValueError(f"the answers differ: {answers}")
        yield sides[0], sides[1], folder


@contextmanager
def _running(
    name: str, command: Sequence[str], folder: Path, leash: ProcessGroup, more: Mapping[str, str]
) -> Iterator[int]:
    """Run a program for the block. → its PID"""
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=plain_environment(environment({}))
            | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client")))}
            | dict(more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=leash.group,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _ready(side: Side) -> dict[str, Any]:  # Any: JSON
    """The answer to an image, as soon as the server gives one. Raises ValueError if it does not."""
    limit_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit_s:
        try:
            answer = httpx.post(side.url, content=side.body, headers={"Content-Type": side.media_type})
        except httpx.TransportError:
            time.sleep(0.25)
            continue
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        time.sleep(0.25)
    raise ValueError(f"{side.name} does not answer")


def _online(takt: Side, guide: Side, folder: Path, given: argparse.Namespace) -> Iterator[str]:
    rates: dict[str, list[float]] = {takt.name: [], guide.name: []}
    cpu_ms: dict[str, list[float]] = {takt.name: [], guide.name: []}
    for number in range(given.rounds):
        for side in (takt, guide)[:: 1 if number % 2 == 0 else -1]:
            before_s = side.cpu_s()
            rates[side.name].append(_rate(side, folder, given.connections, given.seconds))
            images = rates[side.name][-1] * given.seconds
            cpu_ms[side.name].append(1000 * (side.cpu_s() - before_s) / max(1.0, images))
            say(f"round {number + 1}/{given.rounds}, {side.name}: {rates[side.name][-1]:.0f} images/s")
    yield f"| {given.connections} connections | images/s | ÷ guide | CPU ms an image | ÷ guide |"
    yield f"|{'---|' * 5}"
    for name, found in rates.items():
        both = _shown(ratios(found, rates[guide.name])), _shown(ratios(cpu_ms[name], cpu_ms[guide.name]))
        yield f"| {name} | {_shown(spread(found))} | {both[0]} | {_shown(spread(cpu_ms[name]))} | {both[1]} |"


def _rate(side: Side, folder: Path, connections: int, seconds: float) -> float:
    body, log = folder / f"{side.name}.body", folder / f"{time.monotonic_ns()}.samples"
    body.write_bytes(side.body)
    shot = Shot(side.url, {"Content-Type": side.media_type}, body, log, connections, seconds)
    subprocess.run(h2load.LOAD.command(shot), check=True, capture_output=True, timeout=seconds + 60)
    good = sum(sample.good for sample in parse_log(log.read_text()))
    return good / seconds


def _jobs(takt: Side, folder: Path, photos: Sequence[bytes], rounds: int) -> Iterator[str]:
    images = len(photos)
    file = folder / "photos.parquet"
    table = pa.table({"photo": pa.array(photos, pa.binary())})
    pyarrow.parquet.write_table(table, file, row_group_size=ROW_GROUP_BYTES // len(photos[0]))
    cores = os.cpu_count() or 1
    here: list[float] = []
    there: list[float] = []
    for number in range(rounds):
        for is_takt in (True, False) if number % 2 == 0 else (False, True):
            begun_s = time.perf_counter()
            if is_takt:
                _job(takt, file, images)
            else:
                _in_process(file, cores)
            (there if is_takt else here).append(images / (time.perf_counter() - begun_s))
            say(f"round {number + 1}/{rounds}, {'takt' if is_takt else 'in process'} done")
    yield f"\n| a job of {images:,} images | images/s | ÷ in process, {cores} cores |\n|---|---|---|"
    yield f"| takt | {_shown(spread(there))} | {_shown(ratios(there, here))} |"
    yield f"| in process | {_shown(spread(here))} | 1 |"


def _photo(width: int) -> bytes:
    """The example as a JPEG of this width."""
    from PIL import Image

    into = io.BytesIO()
    with Image.open(EXAMPLE) as example:
        example.resize((width, width * 3 // 4)).save(into, "JPEG", quality=80)
    return into.getvalue()


def _photos(photo: bytes, images: int) -> list[bytes]:
    """JPEG files like the photograph, 64 of them distinct."""
    from PIL import Image, ImageEnhance

    with Image.open(io.BytesIO(photo)) as example:
        example.load()
    found = []
    for number in range(min(images, 64)):
        into = io.BytesIO()
        ImageEnhance.Brightness(example).enhance(0.5 + number / 64).save(into, "JPEG", quality=80)
        found.append(into.getvalue())
    return (found * (images // len(found) + 1))[:images]


def _job(takt: Side, file: Path, images: int) -> None:
    base = takt.url.removesuffix("/predict")
    with httpx.Client(base_url=base, timeout=JOB_LIMIT_S) as client:
        made = client.post(
            "/jobs",
            params={"model": "vision"},
            content=file.read_bytes(),
            headers={"Content-Type": "application/vnd.apache.parquet", "Prefer": "wait=1"},
        )
        if made.is_error:
            raise ValueError(f"the job was refused: {made.text}")
        job = made.json()
        limit_s = time.monotonic() + JOB_LIMIT_S
        while job["state"] not in ("succeeded", "failed", "canceled") and time.monotonic() < limit_s:
            waiting = client.get(f"/jobs/{job['id']}", headers={"Prefer": "wait=20"})
            job = waiting.raise_for_status().json()
    if job["state"] != "succeeded" or job["rows_succeeded"] != images:
        raise ValueError(f"the job did not succeed: {job}")


def _in_process(file: Path, cores: int) -> None:
    """Decode in as many threads as cores, and predict batches as they become ready."""
    import torch

    from bench.models.vision.network import Vision

    torch.set_num_threads(1)
    network = Vision(classes=4).eval()
    network.load_state_dict(torch.load(built(MODEL).artifact, weights_only=True))
    photos = pyarrow.parquet.read_table(file)["photo"].to_pylist()

    def batch(start: int) -> None:
        pixels = np.stack([_pixels(data) for data in photos[start : start + BATCH]])
        with torch.inference_mode():
            torch.softmax(network(torch.from_numpy(pixels)), 1)

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(batch, range(0, len(photos), BATCH)))


def _pixels(data: bytes) -> np.ndarray:
    from PIL import Image, ImageOps
    from PIL.Image import Resampling

    with Image.open(io.BytesIO(data)) as image:
        fitted = ImageOps.fit(image.convert("RGB"), (224, 224), Resampling.BILINEAR)
    return (np.asarray(fitted).astype(np.float32) / np.float32(255)).transpose(2, 0, 1)


def _shown(found: Spread | None) -> str:
    return found.shown(short) if found else "-"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
