"""Pinned host memory for copies to and from a device, reused from copy to copy. Each buffer has one owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.columns import Array

Bytes: TypeAlias = npt.NDArray[np.uint8]


class DeviceEvent(Protocol):
    """A point in a device's work queue."""

    def synchronize(self) -> None:
        """Wait until the device has reached it."""


class Staging:
    """A buffer, lent for a single copy at a time. It grows by doubling up to `most_bytes`; a larger copy gets
    memory of its own.

    The borrower passes the end of its copy to `busy_until`; the next `lend` waits for it.
    """

    def __init__(self, allocate: Callable[[int], Bytes], most_bytes: int) -> None:
        self._allocate = allocate
        self._most_bytes = most_bytes
        self._kept = np.empty(0, np.uint8)
        self._lent = self._kept  # referenced until its copy has ended, because the device accesses it
        self._copied: DeviceEvent | None = None

    def lend(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Uninitialised memory for an array, valid until the next `lend`. Waits for the last copy."""
        self.wait()
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self._lent = self._fitting(size_bytes)
        return self._lent[:size_bytes].view(dtype).reshape(shape)

    def busy_until(self, copied: DeviceEvent) -> None:
        """The device uses the lent memory until this event."""
        self._copied = copied

    def wait(self) -> None:
        """Wait until the last copy has ended."""
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
