"""Forms batches from entries, and isolates the entries that make a batch fail. No I/O.

The most rows of a batch stand in `model.toml` (`[batching] max_rows`, `Batching` in `shared/batch_sizes.py`).
`scripts/turn.lua` reads no more entries than that from a stream; `first_batch` applies it to entries in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from shared.errors import DeadlineExceededError, InvalidInputError, PredictionFailedError, ServiceError
from shared.keys import ModelKey
from shared.messages import Entry, EntryFailure
from shared.safe_texts import foreign_words
from worker.online.bisection import Bisection

T = TypeVar("T")

MOST_LONE_RUNS = 1
"""An online entry that ended a worker in a batch, and then this many workers alone, is given up."""


class Delivery(Struct, frozen=True):  # made for each entry, faster than a frozen dataclass
    """An entry that was delivered to this worker."""

    key: ModelKey
    entry_id: bytes  # id in the stream: `{ms of Redis' clock}-{n}`
    entry: Entry
    deliveries: int = 1

    @property
    def added_ms(self) -> int:
        return int(self.entry_id.split(b"-", 1)[0])

    @property
    def suspect(self) -> bool:
        """Whether it was delivered before, to a worker that did not answer: it then runs alone."""
        return self.deliveries > 1

    @property
    def lone_runs(self) -> int:
        """How often it has run alone: all deliveries except the first and this one."""
        return max(0, self.deliveries - 2)

    def late(self, now_ms: float) -> bool:
        """Whether its deadline has passed. `now_ms`: Redis' clock."""
        return now_ms >= self.added_ms + self.entry.budget_ms


def first_batch(waiting: Sequence[Delivery], max_rows: int) -> int:
    """How many of the waiting entries, in order, form the next batch: at least 1, at most `max_rows`
    rows of a single model version; a suspect entry forms a batch alone."""
    head = waiting[0]
    rows = head.entry.rows
    count = 1
    for delivery in waiting[1:] if not head.suspect else ():
        rows += delivery.entry.rows
        if delivery.suspect or delivery.key != head.key or rows > max_rows:
            break
        count += 1
    return count


def bisect_failures(
    parts: Sequence[T],
    run: Callable[[Sequence[T]], None],
    on_failure: Callable[[], None],
    *,
    after_call: Callable[[], None] = lambda: None,
    expired: Callable[[T], bool] = lambda _: False,
) -> Iterator[tuple[T, EntryFailure]]:
    """Run parts together; if that raises, run them in groups (`worker/online/bisection.py`) until each
    failing part has failed alone.

    `run` stores its own results. `on_failure` is called once, before any part is failed, unless the input is
    at fault; it raises if the model itself is broken. From the first failure on, `after_call` is called
    after each call, and a part that has `expired` fails without a call. → the failed parts, each with its
    reason.
    """
    try:
        run(parts)
    except Exception as error:  # a model may raise anything
        reason, is_input = failure(error), isinstance(error, InvalidInputError)
    else:
        return
    if not is_input:
        on_failure()
    bisection = Bisection(len(parts))
    if bisection.failed():
        yield parts[0], reason
    after_call()
    while group := bisection.group:
        if expired(parts[group.start]):
            bisection.skip()
            yield parts[group.start], EntryFailure(DeadlineExceededError.code, DeadlineExceededError().detail)
            continue
        try:
            run(parts[group.start : group.stop])
        except Exception as error:
            if bisection.failed():
                yield parts[group.start], failure(error)
        else:
            bisection.passed()
        after_call()


def failure(error: Exception) -> EntryFailure:
    """The error as sent to the gateway; an exception of the model becomes `prediction_failed`."""
    if isinstance(error, ServiceError):
        return EntryFailure(error.code, error.detail)
    return EntryFailure(
        PredictionFailedError.code, f"The model raised {type(error).__name__}: {foreign_words(error)}"
    )
