"""Retry policy: decides whether and when a call is retried. The caller waits."""

from __future__ import annotations

from dataclasses import dataclass

from takt.errors import TryLater

IN_PROGRESS = "idempotency_in_progress"


@dataclass(frozen=True)
class Retries:
    """A retry policy. Retry-After is respected; if it exceeds `longest_pause_s`, the call is not retried.

    If a gateway dies during an upload, its Idempotency-Key stays leased for half a minute. During that time a
    repeated upload is rejected, and retried up to `attempts_in_progress` times.
    """

    attempts: int = 3
    attempts_in_progress: int = 30
    first_pause_s: float = 0.25
    longest_pause_s: float = 30.0

    def pause_s(self, error: TryLater, attempt: int, jitter: float) -> float | None:
        """Returns the pause after failed attempt number `attempt` (from 1); None means no retry.

        `jitter` in [0, 1) lengthens the pause by up to half, so that clients do not retry together.
        """
        in_progress = self.attempts > 1 and error.code == IN_PROGRESS
        if attempt >= (self.attempts_in_progress if in_progress else self.attempts):
            return None
        asked_s = error.retry_after_s
        if asked_s is not None and asked_s > self.longest_pause_s:
            return None
        pause_s = asked_s if asked_s is not None else self.first_pause_s * 2 ** (attempt - 1)
        return min(pause_s, self.longest_pause_s) * (1 + jitter / 2)


PATIENT = Retries()
NEVER = Retries(attempts=1)
