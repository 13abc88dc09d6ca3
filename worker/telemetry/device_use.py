"""The CPU time and the GPU use of a worker, for its heartbeat."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from shared.worker_records import GpuUse

log = structlog.get_logger(__name__)

LEAST_SPAN_S = 0.5
"""Shortest time that is measured: heartbeats may follow each other at once."""
READ_EVERY_S = 2.0


class CpuUse:
    """The share of a core that this process used since the last measurement, without its child processes."""

    def __init__(
        self,
        cpu_s: Callable[[], float] = time.process_time,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpu_s, self._clock_s = cpu_s, clock_s
        self._before = (clock_s(), cpu_s())
        self._percent = 0.0

    def percent(self) -> float:
        """In percent of a core: 250 means two and a half cores."""
        now = (self._clock_s(), self._cpu_s())
        span_s, used_s = (after - before for after, before in zip(now, self._before, strict=True))
        if span_s >= LEAST_SPAN_S:
            self._percent, self._before = round(100 * used_s / span_s, 1), now
        return self._percent


class GpuWatch(threading.Thread):
    """Reads the use of the GPU in its own thread, because a driver that hangs must not stop the heartbeat."""

    def __init__(self, read: Callable[[], GpuUse | None], every_s: float = READ_EVERY_S) -> None:
        super().__init__(name="gpu-watch", daemon=True)
        self._read = read
        self._every_s = every_s
        self._stopping = threading.Event()
        self.latest: GpuUse | None = None
        """None: nothing was measured."""

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.latest = self._read()
            except Exception as error:  # of a driver: measurements end, the worker continues
                log.warning("gpu_unreadable", reason=str(error))
                self.latest = None
                return
            self._stopping.wait(self._every_s)

    def stop(self) -> None:
        self._stopping.set()


def gpu_watch(device: str) -> GpuWatch | None:
    """The watch of a worker's device; None for a CPU."""
    return GpuWatch(partial(read_gpu, device)) if device.startswith("cuda") else None


def read_gpu(device: str) -> GpuUse | None:
    """The use of a CUDA device; None until a model has initialized CUDA, which takes memory.

    A quantity that the driver does not report is None. The utilization needs nvidia-ml-py.
    """
    torch = sys.modules.get("torch")
    return _measured(torch.cuda, device) if torch and torch.cuda.is_initialized() else None


def _measured(cuda: Any, device: str) -> GpuUse:
    """`cuda`: torch.cuda (Any: torch has no types for some of these)."""
    free_bytes, total_bytes = cuda.mem_get_info(device)
    return GpuUse(
        utilization_percent=_if_reported(lambda: int(cuda.utilization(device))),
        used_bytes=total_bytes - free_bytes,
        total_bytes=total_bytes,
        own_bytes=int(cuda.memory_reserved(device)),
    )


def _if_reported(read: Callable[[], int]) -> int | None:
    try:
        return read()
    except Exception:  # no nvidia-ml-py, or a device that does not report this, such as a part of one (MIG)
        return None
