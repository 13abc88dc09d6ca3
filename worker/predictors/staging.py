"""Staging: host memory that copies to and from a device use, one after another. Each buffer has one owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.columns import Array

Bytes: TypeAlias = npt.NDArray[np.uint8]


class DeviceEvent(Protocol):
    """A spot in a device's work."""

    def synchronize(self) -> None:
        """Wait until the device has come there."""


class Staging:
    """One buffer, lent for one copy at a time. It grows by doubling, and never beyond `most_bytes`: what is
    larger is allocated for its copy alone.

    Whoever borrows it says with `busy_until` when its copy will have ended; no one gets it sooner.
    """

    def __init__(self, allocate: Callable[[int], Bytes], most_bytes: int) -> None:
        self._allocate = allocate
        self._most_bytes = most_bytes
        self._kept = np.empty(0, np.uint8)
        self._lent = self._kept  # held until its copy has ended: the device reads or writes it
        self._copied: DeviceEvent | None = None

    def lend(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Memory for an array of whatever content, valid until the next `lend`. Waits for the last copy."""
        self.wait()
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._lent = self._fitting(size_bytes)
        return self._lent[:size_bytes].view(dtype).reshape(shape)

    def busy_until(self, copied: DeviceEvent) -> None:
        """The device uses what was lent until it comes to this event."""
        self._copied = copied

    def wait(self) -> None:
        """Until the last copy has ended."""
        if self._copied is not None:
            self._copied.synchronize()
            self._copied = None

    def _fitting(self, size_bytes: int) -> Bytes:
        if size_bytes > self._most_bytes:
            return self._allocate(size_bytes)
        if size_bytes > self._kept.size:
            doubled = 1 << (size_bytes - 1).bit_length()
            self._kept = self._allocate(min(doubled, self._most_bytes))
        return self._kept
