"""The measurements: restarts of the only worker, memory and start of several, additions, many models."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench.supervision.models import row, write_forest, write_pipeline
from bench.supervision.running import Running, running

PER_S = 20.0
_MIB = 2**20


@dataclass
class Answers:
    """Requests that were sent on time, whether or not earlier requests were answered."""

    answered: list[tuple[float, float, int]] = field(default_factory=list)  # sent, answered, status

    def failed(self) -> int:
        return sum(status != 200 for _, _, status in self.answered)

    def next_after(self, moment_s: float) -> float:
        """Seconds from a moment to the first answer to a request that was sent after it."""
        return (
            min(answered for sent, answered, status in self.answered if sent > moment_s and status == 200)
            - moment_s
        )

    def p99_ms(self, since_s: float, until_s: float) -> float:
        took_s = [answered - sent for sent, answered, _ in self.answered if since_s <= sent < until_s]
        return 1000 * statistics.quantiles(took_s, n=100)[98]


@contextmanager
def steadily(takt: Running, model: str, per_s: float) -> Iterator[Answers]:
    """Send requests during the block, each at its time and by a thread of its own."""
    gc.freeze()  # else each full collection scans the modules of scikit-learn and delays requests by 0.1 s
    answers, ended = Answers(), threading.Event()
    url, body = f"{takt.http.base_url}/models/{model}/predict", row()
    clients = [httpx.Client(timeout=60, trust_env=False) for _ in range(32)]

    def send(client: httpx.Client) -> None:
        sent_s = time.monotonic()
        status = client.post(url, json=body).status_code
        answers.answered.append((sent_s, time.monotonic(), status))

    def keep_sending() -> None:
        begun_s, senders = time.monotonic(), []
        for number in itertools.count():
            if ended.wait(max(0.0, begun_s + number / per_s - time.monotonic())):
                break
            senders.append(threading.Thread(target=send, args=[clients[number % len(clients)]]))
            senders[-1].start()
        for sender in senders:
            sender.join()

    sending = threading.Thread(target=keep_sending)
    sending.start()
    try:
        yield answers
    finally:
        ended.set()
        sending.join()
        for client in clients:
            client.close()


@contextmanager
def _folders() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        yield Path(folder), models


def restarts(kills: int) -> str:
    """SIGKILL of the only worker under a steady load, again and again."""
    with _folders() as (folder, models):
        write_pipeline(models, "small")
        with running(folder / "data", models, workers=1) as takt, steadily(takt, "small", PER_S) as answers:
            moments = []
            for _ in range(kills):
                time.sleep(3.0)
                (worker,) = {one["pid"] for one in takt.workers() if one["state"] == "serving"}
                moments.append(time.monotonic())
                os.kill(worker, signal.SIGKILL)
            time.sleep(3.0)
    gaps_s = sorted(answers.next_after(moment) for moment in moments)
    return (
        f"{kills} kills of the only worker at {PER_S:g} requests/s: next answer after "
        f"{statistics.median(gaps_s):.2f} s (median), {gaps_s[-1]:.2f} s (longest); "
        f"{answers.failed()} of {len(answers.answered)} requests failed"
    )


def memory(workers: int, mebibytes: int, rounds: int) -> str:
    """Several workers and a single worker, with a forest of this size, started in turns."""
    pss_bytes: dict[int, list[int]] = {1: [], workers: []}
    started_s: dict[int, list[float]] = {1: [], workers: []}
    with _folders() as (folder, models):
        write_forest(models, "forest", mebibytes)
        for number, count in enumerate([1, *[1, workers] * rounds]):
            with running(folder / f"data{number}", models, workers=count) as takt:
                for _ in range(20 * count):
                    takt.http.post("/models/forest/predict", json=row()).raise_for_status()
                held = takt.http.get("/models/forest").json()["workers"][0]["memory_bytes"]
                if number:  # the first start fills the caches of the disk and of the compiler
                    pss_bytes[count].append(takt.pss_bytes())
                    started_s[count].append(takt.started_s)
    one_bytes, many_bytes = (statistics.median(pss_bytes[count]) for count in (1, workers))
    ratios = sorted(many / one for one, many in zip(started_s[1], started_s[workers], strict=True))
    one_s, many_s = (statistics.median(started_s[count]) for count in (1, workers))
    return (
        f"a forest of {held / _MIB:.0f} MiB: {one_bytes / _MIB:.0f} MiB with one worker, "
        f"{many_bytes / _MIB:.0f} MiB with {workers} ({many_bytes / one_bytes:.2f} ×); "
        f"serving after {one_s:.1f} s and {many_s:.1f} s, medians of {rounds} "
        f"({statistics.median(ratios):.2f} ×, {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def additions(share: float, rounds: int) -> str:
    """A version is added at a share of the load that a worker answers."""
    lines, ratios = zip(*(_addition(share) for _ in range(rounds)), strict=True)
    spread = f"{statistics.median(ratios):.2f} × ({min(ratios):.2f}–{max(ratios):.2f})"
    return "\n".join([*lines, f"p99 while a version is added, of {rounds} rounds: {spread}"])


def _addition(share: float) -> tuple[str, float]:
    with _folders() as (folder, models):
        write_pipeline(models, "small")
        write_forest(models, "forest", 64)
        later = folder / "later"
        write_pipeline(later, "further")  # before the load, whose senders share this process
        with running(folder / "data", models, workers=1) as takt:
            per_s = share * _capacity(takt)
            with steadily(takt, "small", per_s) as answers:
                begun_s = time.monotonic()
                time.sleep(10.0)
                changed_s = time.monotonic()
                (later / "further").rename(models / "further")
                takt.read_models_again()
                takt.wait_for("further")
                added_s = time.monotonic()
                time.sleep(2.0)
                ended_s = time.monotonic()
    before, during = answers.p99_ms(begun_s + 1, changed_s), answers.p99_ms(changed_s, ended_s)
    line = (
        f"a version added after {added_s - changed_s:.1f} s at {per_s:.0f} requests/s: "
        f"{answers.failed()} failed; p99 {before:.1f} ms before, {during:.1f} ms meanwhile "
        f"({during / before:.2f} ×)"
    )
    return line, during / before


def _capacity(takt: Running) -> float:
    """Requests/s of a single connection, which leaves the load generator its share of the cores."""
    begun_s, count = time.monotonic(), 500
    for _ in range(count):
        takt.http.post("/models/small/predict", json=row()).raise_for_status()
    return count / (time.monotonic() - begun_s)


def pipelines(count: int) -> str:
    """Many small models in one supervisor, and another."""
    with _folders() as (folder, models):
        for number in range(count):
            write_pipeline(models, f"p{number:03}", seed=number)
        with running(folder / "data", models, workers=1) as takt:
            pss_bytes = takt.pss_bytes()
            write_pipeline(models, "one_more")
            begun_s = time.monotonic()
            takt.read_models_again()
            takt.wait_for("one_more")
            added_s = time.monotonic() - begun_s
            return (
                f"{count} pipelines: serving after {takt.started_s:.1f} s, {pss_bytes / _MIB:.0f} MiB; "
                f"one more served after {added_s:.1f} s"
            )
