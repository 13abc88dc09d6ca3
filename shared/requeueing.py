"""How a dead letter returns to its queue: a single command of Redis, for threads and for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from shared import keys, messages
from shared.dead_letters import DeadLetter, LetterKind
from shared.errors import InvalidStateError
from shared.keys import ModelKey
from shared.ledger import chunk_transitions
from shared.ledger.lua_scripts import source

_NEVER_SENT_AGAIN = {
    LetterKind.REPLY: "its request has ended",
    LetterKind.HEARTBEAT: "the next heartbeat replaces it",
    LetterKind.JOB: "its record stays in Redis, for a version of Takt that can read it",
}


class Requeueing(NamedTuple):
    """A command, and the check of its answer."""

    letter: DeadLetter
    command: tuple[str | bytes | int, ...]
    is_done: Callable[[Any], bool]  # Any: redis-py's answer

    def check(self, answer: Any) -> None:
        """Raises InvalidStateError if the command had no effect."""
        if not self.is_done(answer):
            raise InvalidStateError(f"{self.letter.id}: the chunk is not abandoned, or its job has ended.")


def requeueing_of(letter: DeadLetter, by: str = "") -> Requeueing:
    """`by`: the name of the caller. Raises InvalidStateError if the letter cannot be requeued."""
    match letter.kind:
        case LetterKind.ENTRY:
            stream = keys.online(ModelKey(letter.model))
            return Requeueing(letter, ("XADD", stream, "*", messages.FIELD, _whole(letter)), bool)
        case LetterKind.DOORBELL:
            queue = keys.offline_queue(ModelKey(letter.model))
            return Requeueing(letter, ("LPUSH", queue, _whole(letter)), bool)
        case LetterKind.CHUNK:
            job_id, _, index = letter.place.rpartition("/")
            again = chunk_transitions.requeue_chunk(job_id, int(index), by)
            command = ("EVAL", source(again.script), 0, *again.arguments)
            return Requeueing(letter, command, again.decode)
        case kind:
            raise InvalidStateError(f"{letter.id}: a {kind} cannot be requeued: {_NEVER_SENT_AGAIN[kind]}.")


def _whole(letter: DeadLetter) -> bytes:
    """Raises InvalidStateError if only the first bytes are stored."""
    if not letter.whole:
        raise InvalidStateError(
            f"{letter.id}: only {len(letter.data)} of its {letter.size_bytes} bytes are stored."
        )
    return letter.data
