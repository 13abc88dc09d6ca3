"""Durability of a job before its 202: the command that waits for it, and the meaning of the server's
answers."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.durability import VOUCHED, Durability, Promise, check_durable, require_durable, unsynced
from shared.errors import NotDurableError, QueueUnavailableError, UnsupportedServerError
from shared.settings import Settings

DISK, REPLICA = Durability(Promise.DISK, 1500), Durability(Promise.REPLICA, 1500)
VALKEY = {"redis_version": "7.2.4", "valkey_version": "9.1.2", "aof_enabled": 1}


def test_each_promise_waits_by_the_command_that_proves_it() -> None:
    assert Durability().command is None
    assert DISK.command == ("WAITAOF", 1, 0, 1500)
    assert REPLICA.command == ("WAIT", 1, 1500)


@pytest.mark.parametrize(("durability", "kept", "late"), [(DISK, [1, 0], [0, 0]), (REPLICA, 1, 0)])
def test_a_promise_that_was_not_kept_in_time_names_the_job_and_when_to_try_again(
    durability: Durability, kept: object, late: object
) -> None:
    require_durable("j1", 1, kept, durability)
    with pytest.raises(NotDurableError, match="'j1' was taken") as refusal:
        require_durable("j1", 1, late, durability)
    assert (refusal.value.code, refusal.value.retryable) == ("not_durable", True)
    assert refusal.value.retry_after_s


def test_a_job_that_the_server_forgot_is_not_called_durable() -> None:
    with pytest.raises(QueueUnavailableError, match="lost this job"):
        require_durable("j1", 0, [1, 0], DISK)


def test_a_server_that_cannot_keep_the_promise_is_the_operators_to_mend() -> None:
    with pytest.raises(UnsupportedServerError, match="TAKT_DURABILITY=disk"):
        require_durable("j1", 1, ResponseError("unknown command 'WAITAOF'"), DISK)


@pytest.mark.parametrize("error", [RedisConnectionError("gone"), ResponseError("MISCONF disk is full")])
def test_what_goes_wrong_before_the_wait_stays_what_it_is(error: Exception) -> None:
    with pytest.raises(type(error)):
        require_durable("j1", error, error, DISK)


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ({"redis_version": "7.0.15", "aof_enabled": 1}, "no WAITAOF"),
        (VALKEY | {"aof_enabled": 0}, "appendonly yes"),
        ({"redis_version": "6.2.0"}, "too old"),
    ],
)
def test_disk_is_refused_of_a_server_that_cannot_promise_it(info: dict[str, object], reason: str) -> None:
    with pytest.raises(UnsupportedServerError, match=reason):
        check_durable(info, Promise.DISK, VOUCHED)


def test_a_server_that_can_is_taken() -> None:
    assert str(check_durable(VALKEY, Promise.DISK, VOUCHED)) == "valkey 9.1.2"
    assert str(check_durable({"redis_version": "7.0.15"}, Promise.REPLICA, None)) == "redis 7.0.15"
    assert str(check_durable(VALKEY, Promise.MEMORY, {"appendfsync": "no"})) == "valkey 9.1.2"


@pytest.mark.parametrize(
    ("policy", "advice"),
    [
        (None, "TAKT_APPENDFSYNC=always"),
        ({"appendfsync": "everysec"}, "set `appendfsync always`"),
        ({"appendfsync": "no", "no-appendfsync-on-rewrite": "no"}, "set `appendfsync always`"),
        ({"appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}, "set `no-appendfsync-on-rewrite no`"),
        ({"appendfsync": "always", "no-appendfsync-on-rewrite": "no"}, ""),
    ],
)
def test_what_acknowledges_before_it_syncs_is_told_what_to_set(
    policy: dict[str, str] | None, advice: str
) -> None:
    reason = unsynced(policy)
    assert bool(reason) == bool(advice)
    assert advice in reason


def test_a_job_is_not_durable_while_its_server_does_not_sync_each_write() -> None:
    with pytest.raises(NotDurableError, match="set `appendfsync always`"):
        require_durable("j1", 1, [1, 0], DISK, {"appendfsync": "everysec"})
    with pytest.raises(NotDurableError, match="TAKT_APPENDFSYNC"):
        require_durable("j1", 1, [1, 0], DISK, ResponseError("NOPERM"))
    with pytest.raises(RedisConnectionError):
        require_durable("j1", 1, [1, 0], DISK, RedisConnectionError("gone"))


def test_only_disk_asks_the_server_and_not_where_the_operator_vouches_for_it() -> None:
    asks = [Settings(durability=promise).durable().asks for promise in Promise]
    assert asks == [False, True, False]
    assert not Settings(durability=Promise.DISK, appendfsync="always").durable().asks


@pytest.mark.parametrize(("promise", "written"), [("memory", False), ("disk", True), ("replica", True)])
def test_rows_are_synced_unless_that_is_turned_off_and_those_of_a_durable_job_always(
    promise: str, written: bool
) -> None:
    assert Settings(durability=promise).writes_through()
    assert Settings(durability=promise, fsync_payloads=False).writes_through() is written
