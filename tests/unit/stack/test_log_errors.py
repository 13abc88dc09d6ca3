"""The errors in a service's log."""

from __future__ import annotations

import pytest

from stack.service_logs import errors_in

AT = "2026-12-01T07:57:44.613096Z"
INFO = f"{AT} [info     ] worker_serving                 [worker.process] models=['iris@1.0.0']"
ERROR = f"{AT} [error    ] model_failed                   [worker.model_registry] model=iris@1.0.0"
WARNING = [
    f"{AT} [warning  ] celery/platforms.py:893: SecurityWarning: You're running the worker as root",
    "absolutely not recommended!",
    " [py.warnings]",
]
TRACEBACK = ["Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "ValueError: no"]
SEGFAULT = ["Fatal Python error: Segmentation fault", "", "Thread 0x0001 (most recent call first):"]


def test_errors_remain_and_information_does_not() -> None:
    assert list(errors_in([INFO, ERROR, INFO])) == [ERROR]


def test_the_traceback_of_an_error_belongs_to_it() -> None:
    assert list(errors_in([INFO, ERROR, *TRACEBACK, INFO])) == [ERROR, *TRACEBACK]


def test_a_warning_is_left_out_with_all_its_lines() -> None:
    assert list(errors_in([INFO, *WARNING, INFO])) == []


@pytest.mark.parametrize("crash", [TRACEBACK, SEGFAULT])
@pytest.mark.parametrize("before", [[], [INFO], WARNING])
def test_the_last_words_of_an_interpreter_remain(before: list[str], crash: list[str]) -> None:
    assert list(errors_in([*before, *crash])) == crash


def test_plain_text_of_a_library_remains() -> None:
    assert list(errors_in([INFO, "terminate called after throwing 'std::bad_alloc'"])) == [
        "terminate called after throwing 'std::bad_alloc'"
    ]


def test_json_events_are_read() -> None:
    info = '{"models": ["iris"], "event": "worker_serving", "level": "info", "logger": "worker.process"}'
    error = info.replace("info", "error")
    assert list(errors_in([info, error])) == [error]


def test_the_queue_servers_levels_are_read() -> None:
    ready = "4711:M 01 Dec 2026 07:57:18.439 * Ready to accept connections unix"
    fatal = "4711:M 01 Dec 2026 07:57:18.440 # Fatal error loading the DB. Exiting."
    assert list(errors_in([ready, fatal])) == [fatal]
