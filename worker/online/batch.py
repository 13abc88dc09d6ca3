"""Runs a batch of the online lane and makes an answer for each of its entries."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shared.columns import Array
from shared.messages import AnswerColumn, EntryAnswer, EntryFailure, OutputColumn
from worker.online.batching import Delivery, bisect_failures
from worker.predictors import Predictor
from worker.predictors import outputs as views
from worker.predictors.call_limit import CallLimit
from worker.predictors.separate_labels import Answer


@dataclass
class EntryBatch:
    """A batch and the results of its model calls. Times are those of this batch alone."""

    predictor: Predictor
    entries: Sequence[Delivery]
    read_at_ms: float  # Redis' clock
    call_limit: CallLimit = field(default_factory=CallLimit)
    batch_ms: float = 0.0
    predict_ms: float = 0.0
    _outputs: dict[bytes, list[AnswerColumn]] = field(default_factory=dict)
    _failures: dict[bytes, EntryFailure] = field(default_factory=dict)

    @cached_property
    def rows(self) -> int:
        return sum(delivery.entry.rows for delivery in self.entries)

    @property
    def failed(self) -> Sequence[Delivery]:
        """The entries that failed."""
        if not self._failures:
            return ()
        return [delivery for delivery in self.entries if delivery.entry_id in self._failures]

    def run(self, on_failure: Callable[[], None], after_call: Callable[[], None] = lambda: None) -> None:
        """Predict. If the call raises, `on_failure` is called once; then only the entries that cause the
        failure fail, and those that miss their deadline during the search."""
        ahead_ms = self.read_at_ms - time.monotonic() * 1000

        def expired(delivery: Delivery) -> bool:
            return delivery.late(time.monotonic() * 1000 + ahead_ms)

        found = bisect_failures(
            self.entries, self._predict, on_failure, after_call=after_call, expired=expired
        )
        for delivery, failure in found:
            self._failures[delivery.entry_id] = failure
        self.call_limit.settle()

    def answers(self) -> dict[str, list[EntryAnswer]]:
        """The answers by gateway."""
        by_gateway: defaultdict[str, list[EntryAnswer]] = defaultdict(list)
        for delivery in self.entries:
            entry = delivery.entry
            answer = EntryAnswer(
                entry.id,
                entry.part,
                max(0.0, self.read_at_ms - delivery.added_ms),
                self._outputs.get(delivery.entry_id),
                self._failures.get(delivery.entry_id),
            )
            by_gateway[entry.gateway].append(answer)
        return by_gateway

    def _predict(self, deliveries: Sequence[Delivery]) -> None:
        begun_s = time.perf_counter()
        entries = [delivery.entry for delivery in deliveries]
        inputs = self.predictor.join([entry.columns for entry in entries], [entry.rows for entry in entries])
        joined_s = time.perf_counter()
        self.batch_ms += (joined_s - begun_s) * 1000
        # `bisect_failures` isolates failing entries; the rows of a single entry are answered together
        call = self.call_limit.predict if len(deliveries) > 1 else self.call_limit.predict_in_halves
        self._split(deliveries, call(self.predictor, inputs))
        self.predict_ms += (time.perf_counter() - joined_s) * 1000

    def _split(self, deliveries: Sequence[Delivery], answer: Answer) -> None:
        """Keep the outputs of each entry, in its requested form."""
        spec = self.predictor.spec
        forms = {delivery.entry.binary_outputs for delivery in deliveries}
        arrays = views.as_arrays(spec, answer) if True in forms else []
        columns = views.as_columns(spec, answer) if False in forms else []
        start = 0
        for delivery in deliveries:
            stop = start + delivery.entry.rows
            self._outputs[delivery.entry_id] = (
                [_part(output, start, stop) for output in arrays]
                if delivery.entry.binary_outputs
                else [column[start:stop] for column in columns]
            )
            start = stop


def _part(output: Array | OutputColumn, start: int, stop: int) -> AnswerColumn:
    part = output[start:stop]
    return part if isinstance(part, list) else part.tobytes()
