"""When a call is made again: a pure decision, the pause is the caller's."""

from __future__ import annotations

from dataclasses import dataclass

from takt.errors import TryLater

IN_PROGRESS = "idempotency_in_progress"


@dataclass(frozen=True)
class Retries:
    """How patient a client is. A Retry-After is kept to, unless it is longer than `longest_pause_s`.

    A gateway that died in an upload leaves its Idempotency-Key leased for half a minute: who sends the upload
    again is told so, and goes on asking (`attempts_in_progress`).
    """

    attempts: int = 3
    attempts_in_progress: int = 30
    first_pause_s: float = 0.25
    longest_pause_s: float = 30.0

    def pause_s(self, error: TryLater, attempt: int, luck: float) -> float | None:
        """How long to wait after failed attempt number `attempt` (from 1); None: not again.

        `luck` in [0, 1) spreads the clients that failed together over half as long again.
        """
        in_progress = self.attempts > 1 and error.code == IN_PROGRESS
        if attempt >= (self.attempts_in_progress if in_progress else self.attempts):
            return None
        asked_s = error.retry_after_s
        if asked_s is not None and asked_s > self.longest_pause_s:
            return None
        pause_s = asked_s if asked_s is not None else self.first_pause_s * 2 ** (attempt - 1)
        return min(pause_s, self.longest_pause_s) * (1 + luck / 2)


PATIENT = Retries()
NEVER = Retries(attempts=1)
