"""The timeline of a job as lines of text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from takt.records import Json

_WORDS = {
    "uploaded": "all rows stored: {rows} rows in {chunks_total} chunks",
    "started": "started after {waited_s} s",
    "cancel_requested": "cancel requested",
    "priority_changed": "priority changed to {priority}",
    "chunks_ended": "{chunks_ended} of {chunks_total} chunks ended",
    "attempt_failed": "attempt {attempt} of chunk {chunk} failed on worker {worker}",
    "chunk_failed": "chunk {chunk} failed after its last attempt",
    "chunk_requeued": "chunk {chunk} requeued",
    "result_lost": "stored result of chunk {chunk} lost",
}
"""The text of an event, with its fields; the name of the event if it is not listed."""


def timeline_lines(timeline: Json) -> Iterator[str]:
    """`2026-03-02 07:30:01  paused by mes`, in local time, the oldest event first."""
    for event in timeline["events"]:
        at = datetime.fromisoformat(event["at"]).astimezone().isoformat(sep=" ", timespec="seconds")
        yield f"{at}  {_text(event)}"
    if timeline["omitted"]:
        yield f"{timeline['omitted']} further events are not kept"


def _text(event: Json) -> str:
    if event["event"] == "webhook_attempt":
        return _delivery(event)
    known = _WORDS.get(event["event"], event["event"].replace("_", " "))
    text = known.format_map(defaultdict(lambda: "?", event))
    by = f" by {event['by']}" if "by" in event else ""
    reason = f": {event['reason']}" if "reason" in event else ""
    return f"{text}{by}{reason}"


def _delivery(event: Json) -> str:
    answer = event.get("status") or f"no answer: {event.get('reason', '?')}"
    return f"webhook attempt: {answer}"
