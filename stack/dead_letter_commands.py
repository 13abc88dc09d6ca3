"""`takt dead-letters`: lists, shows, requeues and deletes dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import redis
import typer
from rich.console import Console

from shared.dead_letters import DeadLetter, DeadLetters
from shared.requeueing import requeueing_of
from stack.command_errors import CommandError
from stack.redis_url import opened_queue
from stack.up_output import show

_SHOWN_BYTES = 256


def show_letters(data: Path, most: int, *, as_json: bool) -> None:
    """List dead letters, newest first. Raises CommandError if no queue answers."""
    with opened_queue(data) as client:
        found = DeadLetters(client).newest(most)
    if as_json:
        for letter in found:
            typer.echo(msgspec.json.encode(letter))
        return
    columns = ("id", "at", "kind", "model", "place", "bytes", "reason")
    show(columns, [_row(letter) for letter in found], empty="no dead letters")


def show_letter(data: Path, letter_id: str, *, as_json: bool) -> None:
    """Print a dead letter. Raises CommandError if it does not exist, or no queue answers."""
    with opened_queue(data) as client:
        letter = _read(DeadLetters(client), letter_id)
    if as_json:
        typer.echo(msgspec.json.encode(letter))
        return
    console = Console(highlight=False, soft_wrap=True)
    for name, text in zip(
        ("id", "at", "kind", "model", "place", "bytes", "reason"), _row(letter), strict=True
    ):
        console.print(f"{name:<7} {text}", markup=False)
    for line in hexadecimal(letter.data[:_SHOWN_BYTES]):
        console.print(line, markup=False)


def requeue(data: Path, letter_ids: Sequence[str]) -> None:
    """Return messages and chunks to their queues.

    Raises CommandError or InvalidStateError at the first that cannot be requeued.
    """
    with opened_queue(data) as client:
        letters = DeadLetters(client)
        for letter_id in letter_ids:
            letter = _read(letters, letter_id)
            again = requeueing_of(letter)
            again.check(cast(Any, client).execute_command(*again.command))
            letters.drop(letter)
            typer.echo(f"{letter.id} requeued")


def drop(data: Path, letter_ids: Sequence[str]) -> None:
    """Delete dead letters. Raises CommandError if an id does not exist."""
    with opened_queue(data) as client:
        letters = DeadLetters(client)
        for letter_id in letter_ids:
            letters.drop(_read(letters, letter_id))
            typer.echo(f"{letter_id} dropped")


def _read(letters: DeadLetters, letter_id: str) -> DeadLetter:
    try:
        letter = letters.read(letter_id)
    except redis.ResponseError:  # not a stream id
        letter = None
    if letter is None:
        raise CommandError(f"no dead letter has the id {letter_id}; list them with takt dead-letters list.")
    return letter


def _row(letter: DeadLetter) -> list[str]:
    at = datetime.fromtimestamp(letter.at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [letter.id, at, letter.kind, letter.model, letter.place, str(letter.size_bytes), letter.reason]


def hexadecimal(data: bytes) -> Iterator[str]:
    """Yields a hex dump with sixteen bytes per line."""
    for start in range(0, len(data), 16):
        line = data[start : start + 16]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{start:06x}  {line.hex(' '):<47}  {printable}"
