"""Which workers hang."""

from __future__ import annotations

from worker.supervision.silent_workers import SilentWorkers

LIMIT_S = 30.0


class Files:
    """The times of the workers' files."""

    def __init__(self) -> None:
        self.changed_at_ns: dict[str, int] = {"a": 1, "b": 1}
        self.silent = SilentWorkers(self.changed_at_ns.get, LIMIT_S)

    def pass_s(self, seconds: int, *, begun_s: float = 0.0, beating: str = "") -> dict[str, float]:
        """Look once a second. → the workers that hang at the end"""
        found: dict[str, float] = {}
        for second in range(seconds + 1):
            for worker in beating:
                self.changed_at_ns[worker] += 1
            found = self.silent.look(list(self.changed_at_ns), begun_s + second)
        return found


def test_a_worker_hangs_if_its_file_does_not_change_for_the_limit() -> None:
    assert Files().pass_s(29, beating="a") == {}
    assert Files().pass_s(30, beating="a") == {"b": 30.0}


def test_any_change_counts_although_the_clock_of_the_files_jumps_back() -> None:
    files = Files()
    files.pass_s(29, beating="a")
    files.changed_at_ns["b"] = -5
    assert files.pass_s(29, begun_s=30.0, beating="a") == {}


def test_a_time_in_which_the_supervisor_did_not_run_hardly_counts() -> None:
    files = Files()
    files.pass_s(5)
    assert files.silent.look("ab", 3600.0) == {}


def test_a_worker_without_a_file_has_not_begun() -> None:
    files = Files()
    del files.changed_at_ns["b"]
    files.silent.look("b", 0.0)
    assert files.pass_s(60, begun_s=1.0, beating="a") == {}


def test_workers_that_load_models_for_themselves_have_minutes() -> None:
    files = Files()
    files.pass_s(60)
    assert files.silent.look("ab", 61.0, loads=True) == {}
    assert files.silent.look("ab", 62.0).keys() == {"a", "b"}
