"""A CUDA device as a courier: pinned host memory, a stream for each direction, and events between them."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import structlog
import torch

from shared.columns import Array
from worker.predictors.device_pipeline import Started
from worker.predictors.pinned_memory import Bytes, DeviceEvent

log = structlog.get_logger()


class CudaCourier:
    """Computes on the device's default stream, in which the weights were loaded, and copies in other
    streams."""

    def __init__(
        self, device: torch.device, answer: Callable[[torch.Tensor], torch.Tensor], *, pinned: bool
    ) -> None:
        """`answer` is the model, applied to rows on the device. `pinned` False: pageable host memory."""
        self._device = device
        self._answer = answer
        self._pinned = pinned
        self._computing = torch.cuda.default_stream(device)
        self._inward, self._outward = _stream(device), _stream(device)

    def allocate(self, size_bytes: int) -> Bytes:
        """Pinned memory; pageable from the first time the system refuses: slower, but equally correct."""
        if self._pinned:
            try:
                return _memory(torch.empty(size_bytes, dtype=torch.uint8, pin_memory=True))
            except RuntimeError as error:
                log.warning("pinned_memory_refused", size_bytes=size_bytes, reason=str(error)[:200])
                self._pinned = False
        return np.empty(size_bytes, np.uint8)

    def start(self, rows: Array) -> Started[torch.Tensor]:
        with torch.cuda.stream(self._inward):
            sent_rows = torch.from_numpy(rows).to(self._device, non_blocking=True)
            sent = self._inward.record_event()
        # its memory belongs to the stream that allocated it; keep it until this stream has used it, too
        sent_rows.record_stream(self._computing)
        with torch.cuda.stream(self._computing):
            self._computing.wait_event(sent)
            answer = self._answer(sent_rows).contiguous()
            computed = self._computing.record_event()
        return Started(answer, tuple(answer.shape), _dtype(answer), sent, computed)

    def fetch(self, started: Started[torch.Tensor], into: Array) -> DeviceEvent:
        assert isinstance(started.computed, torch.cuda.Event)
        started.answer.record_stream(self._outward)
        with torch.cuda.stream(self._outward):
            self._outward.wait_event(started.computed)
            torch.from_numpy(into).copy_(started.answer, non_blocking=True)
            copied: DeviceEvent = self._outward.record_event()
        return copied

    def settle(self) -> None:
        torch.cuda.synchronize(self._device)


def release_tensors(error: BaseException) -> None:
    """Free the memory of a call that ran out of memory. The error keeps its frames alive, and the cache
    keeps freed blocks; without both, half the rows may fit."""
    traceback.clear_frames(error.__traceback__)
    gc.collect()
    torch.cuda.empty_cache()


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _dtype(tensor: torch.Tensor) -> npt.DTypeLike:
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _memory(tensor: torch.Tensor) -> Bytes:
    array: Bytes = tensor.numpy()
    return array
