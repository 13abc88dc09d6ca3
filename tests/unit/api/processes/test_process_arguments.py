"""The arguments of gateway processes, and the sockets on which they listen."""

from __future__ import annotations

import socket

import pytest

from api.processes.listeners import listeners
from api.processes.process_arguments import ProcessArguments, duties, read_arguments
from shared.errors import OperatorError
from shared.settings import Settings


def test_each_process_accepts_from_its_own_socket() -> None:
    assert duties([0, 1, 2], serving=[0, 1, 2]) == {0: (0,), 1: (1,), 2: (2,)}


def test_the_sockets_of_ended_processes_are_shared_among_the_others() -> None:
    assert duties([0, 1, 2, 3, 4], serving=[1, 4]) == {1: (0, 1, 3), 4: (2, 4)}
    assert duties([0, 1], serving=[]) == {}


def test_a_place_survives_its_way_through_the_command_line() -> None:
    arguments = ProcessArguments(slot=1, control=7, listeners=((3, 4), (5, 6)), folder="/tmp/x")
    assert read_arguments(arguments.as_argument()) == arguments


def test_the_processes_of_a_gateway_have_different_names() -> None:
    common = Settings(gateway_name="g")
    names = {
        ProcessArguments(slot=slot, control=7, listeners=((3,), (4,)), folder="")
        .settings_of(common)
        .gateway_name
        for slot in (0, 1)
    }
    assert names == {"g/0", "g/1"}


def test_all_sockets_are_bound_to_one_port_and_closed_at_the_end() -> None:
    with listeners("127.0.0.1", 0, 3) as bound:
        ports = {sock.getsockname()[1] for sockets in bound for sock in sockets}
        assert len(bound) == 3
        assert len(ports) == 1
    assert all(sock.fileno() == -1 for sockets in bound for sock in sockets)


def test_a_name_with_several_addresses_gets_a_socket_for_each() -> None:
    addresses = set(socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM))
    with listeners("localhost", 0, 2) as bound:
        assert [len(sockets) for sockets in bound] == [len(addresses)] * 2


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_on_which_several_processes_listen_already_is_not_shared(processes: int) -> None:
    with listeners("127.0.0.1", 0, processes) as bound:
        taken = bound[0][0]
        taken.listen()
        with (
            pytest.raises(OperatorError, match="Address already in use"),
            listeners("127.0.0.1", taken.getsockname()[1], 2),
        ):
            pass
