"""The courier of a CUDA device, tested on a CPU with synchronous streams: its calls to torch, its memory.

The device itself is tested in tests/integration/test_gpu.py.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from shared.columns import Array
from worker.predictors.cuda import CudaCourier, release_tensors
from worker.predictors.device_pipeline import Pipeline, Source, pieces


class DoneEvent:
    def synchronize(self) -> None:
        """It has already happened."""


class InstantStream:
    def __init__(self, device: object) -> None:
        self.device = device

    def record_event(self) -> DoneEvent:
        return DoneEvent()

    def wait_event(self, event: DoneEvent) -> None:
        assert isinstance(event, DoneEvent)


@pytest.fixture(autouse=True)
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """All streams are synchronous."""
    monkeypatch.setattr(torch.cuda, "Stream", InstantStream)
    monkeypatch.setattr(torch.cuda, "Event", DoneEvent)
    monkeypatch.setattr(torch.cuda, "default_stream", InstantStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)


def courier_of(answer: Callable[[torch.Tensor], torch.Tensor], *, pinned: bool = False) -> CudaCourier:
    return CudaCourier(torch.device("cpu"), answer, pinned=pinned)


def source_of(rows: Array) -> Source:
    return Source(rows.shape[1:], rows.dtype, lambda piece, into: np.copyto(into, rows[piece]))


@pytest.mark.parametrize("count", [1, 4, 5, 40])
def test_rows_cross_and_answers_come_back_in_the_network_s_type(count: int) -> None:
    rows = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    pipeline = Pipeline(courier_of(lambda sent: sent.double().sum(dim=1)), 1000)
    answer = pipeline.run(source_of(rows), pieces(count, 8, 32))
    assert answer.dtype == np.float64
    assert np.array_equal(answer, rows.sum(axis=1))


def test_a_system_that_pins_no_memory_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(size_bytes: int, **_: object) -> torch.Tensor:
        asked.append(size_bytes)
        raise RuntimeError("no pinned memory")

    monkeypatch.setattr(torch, "empty", refuse)
    courier = courier_of(lambda sent: sent, pinned=True)
    assert [courier.allocate(size).nbytes for size in (8, 16)] == [8, 16]
    assert asked == [8]


class Activation:
    """The device memory that a network holds while it runs."""


def test_a_call_that_ran_out_of_memory_holds_nothing_while_its_halves_run() -> None:
    held: list[weakref.ref[Activation]] = []

    def grows(_: torch.Tensor) -> torch.Tensor:
        activation = Activation()
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory")

    rows = np.ones((4, 2), np.float32)
    try:
        Pipeline(courier_of(grows), 1000).run(source_of(rows), pieces(4, 8))
    except torch.OutOfMemoryError as error:
        assert held[0]() is not None
        release_tensors(error)
        assert held[0]() is None
    assert len(held) == 1
