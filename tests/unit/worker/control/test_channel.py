"""Messages over a socket pair: whole, in order, with their descriptors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import msgspec
import pytest

from worker.control.channel import Channel, ChannelClosedError
from worker.control.control_messages import Forked, ListVersions, NotForked, StartSandbox

DECODER = msgspec.msgpack.Decoder(Forked | NotForked | StartSandbox)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, socket = Channel.pair()
    other = Channel(socket)
    yield one, other
    one.close()
    other.close()


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    long = "x" * 2**20

    def send() -> None:
        for number in range(3):
            sender.send(NotForked(number, long))

    sending = threading.Thread(target=send)
    sending.start()
    found: list[NotForked] = []
    while len(found) < 3:
        found += [DECODER.decode(body) for body, _ in receiver.receive()]
    sending.join()
    assert [(one.ticket, len(one.reason)) for one in found] == [(n, 2**20) for n in range(3)]


def test_each_message_has_its_own_descriptors(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    pipes = [os.pipe() for _ in range(3)]
    sender.send(StartSandbox(1, "a@1"), [pipes[0][1], pipes[1][1]])
    sender.send(Forked(2, 3))
    sender.send(StartSandbox(4, "b@1"), [pipes[2][1]])
    received: list[tuple[bytes, list[int]]] = []
    while len(received) < 3:
        received += receiver.receive()
    assert [len(descriptors) for _, descriptors in received] == [2, 0, 1]
    for number, descriptor in enumerate([*received[0][1], *received[2][1]]):
        os.write(descriptor, str(number).encode())
        os.close(descriptor)
    assert [os.read(read_end, 1) for read_end, _ in pipes] == [b"0", b"1", b"2"]
    for pipe in pipes:
        for descriptor in pipe:
            os.close(descriptor)


def test_what_was_sent_before_the_end_is_received(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    sender.send(ListVersions())
    sender.close()
    assert len(receiver.receive()) == 1
    with pytest.raises(ChannelClosedError):
        receiver.receive()


def test_sending_to_a_closed_end_is_an_error(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    receiver.close()
    with pytest.raises(ChannelClosedError):
        sender.send(ListVersions())


def test_a_receiver_that_does_not_read_counts_as_lost(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.control.channel.SEND_LIMIT_S", 0.05)

    def send_on() -> None:
        while True:
            ends[0].send(NotForked(1, "x" * 10_000))

    with pytest.raises(ChannelClosedError):
        send_on()


def test_a_long_message_waits_for_no_receiver(ends: tuple[Channel, Channel]) -> None:
    sender, receiver = ends
    sender.send(NotForked(1, "x" * 2**24))
    ((body, _),) = receiver.receive()
    assert len(DECODER.decode(body).reason) == 2**24
