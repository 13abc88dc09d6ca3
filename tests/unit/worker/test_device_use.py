"""CPU and GPU of a worker in its heartbeat."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from shared.worker_records import GpuUse
from tests.support.polling import eventually
from worker.telemetry.device_use import CpuUse, GpuWatch, gpu_watch, read_gpu

GIB = 2**30


class Clocks:
    def __init__(self) -> None:
        self.cpu_s, self.now_s = 3.0, 100.0

    def use(self) -> CpuUse:
        return CpuUse(lambda: self.cpu_s, lambda: self.now_s)

    def run(self, span_s: float, cores: float) -> None:
        self.now_s += span_s
        self.cpu_s += span_s * cores


def test_cpu_is_that_of_the_time_since_the_last_heartbeat() -> None:
    clocks = Clocks()
    use = clocks.use()
    found = []
    for cores in (0.0, 1.0, 2.5):
        clocks.run(1.0, cores)
        found.append(use.percent())
    assert found == [0.0, 100.0, 250.0]


def test_heartbeats_that_follow_each_other_at_once_keep_the_last_value() -> None:
    clocks = Clocks()
    use = clocks.use()
    clocks.run(1.0, 0.5)
    assert use.percent() == 50.0
    clocks.run(0.01, 8.0)
    assert use.percent() == 50.0
    clocks.run(0.99, 8.0)
    assert use.percent() == 800.0


def test_the_cpu_of_this_process_is_measured() -> None:
    use = CpuUse()
    end_s = time.monotonic() + 0.6
    while time.monotonic() < end_s:
        pass
    assert 5 < use.percent() < 400  # a loop, on a machine that may be busy with other things


def test_a_worker_on_a_cpu_has_no_gpu() -> None:
    assert gpu_watch("cpu") is None
    assert gpu_watch("cuda:1") is not None


def test_the_latest_use_is_read_again_and_again() -> None:
    readings = iter([GpuUse(utilization_percent=10), GpuUse(utilization_percent=90)])
    watch = GpuWatch(lambda: next(readings, GpuUse(utilization_percent=90)), every_s=0.001)
    assert watch.latest is None
    watch.start()
    eventually(lambda: watch.latest == GpuUse(utilization_percent=90), limit_s=10)
    watch.stop()
    watch.join(10)
    assert not watch.is_alive()


def test_a_driver_that_fails_ends_the_measurements_and_nothing_else() -> None:
    def broken() -> GpuUse:
        raise RuntimeError("Driver/library version mismatch")

    watch = GpuWatch(broken, every_s=0.001)
    watch.start()
    watch.join(10)
    assert (watch.is_alive(), watch.latest) == (False, None)


def unsupported(_device: str) -> int:
    raise RuntimeError("Not Supported")


def with_cuda(monkeypatch: pytest.MonkeyPatch, *, initialized: bool = True, **changes: object) -> None:
    """Replace torch by one with a GPU."""
    cuda = {
        "is_initialized": lambda: initialized,
        "utilization": lambda device: {"cuda:1": 87}[device],
        "mem_get_info": lambda device: {"cuda:1": (70 * GIB, 80 * GIB)}[device],
        "memory_reserved": lambda device: {"cuda:1": 4 * GIB}[device],
    }
    torch = ModuleType("torch")
    torch.cuda = SimpleNamespace(**cuda | changes)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)


def test_utilization_and_memory_are_those_of_the_workers_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch)
    assert read_gpu("cuda:1") == GpuUse(
        utilization_percent=87, used_bytes=10 * GIB, total_bytes=80 * GIB, own_bytes=4 * GIB
    )


def test_a_utilization_that_is_not_reported_leaves_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, utilization=unsupported)
    assert read_gpu("cuda:1") == GpuUse(used_bytes=10 * GIB, total_bytes=80 * GIB, own_bytes=4 * GIB)


def test_the_measurement_initializes_no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    with_cuda(monkeypatch, initialized=False)
    assert read_gpu("cuda:1") is None
    monkeypatch.delitem(sys.modules, "torch")
    assert read_gpu("cuda:1") is None
    assert "torch" not in sys.modules
