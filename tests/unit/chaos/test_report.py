"""How the chaos suite judges a run, and the tables that it prints."""

from __future__ import annotations

from dataclasses import replace

from tests.chaos.account import Totals
from tests.chaos.life_records import Life
from tests.chaos.online import Failure
from tests.chaos.plan import Kind
from tests.chaos.report import Healed, Requests, Run, report, unexplained

KILLED = Healed(Kind.WORKER_KILLED, ("worker-1",), begun_s=100.0, over_s=100.0, healed_s=104.0)
STOPPED = Healed(Kind.REDIS_STOPPED, ("redis",), begun_s=200.0, over_s=206.0, healed_s=207.0)
RUN = Run(
    seed=7,
    took_s=630.0,
    faults=(KILLED, replace(KILLED, healed_s=102.0), STOPPED),
    jobs=Totals(jobs=120, rows=5_000_000),
    requests=Requests(right=20_000, rows=30_000, excused=150, unexplained=2),
    notes=("worker-1 ended with 70",),
)


def test_recovery_begins_where_the_fault_lets_it() -> None:
    assert KILLED.recovery_s == 4.0
    assert STOPPED.recovery_s == 1.0


def test_a_failure_is_excused_while_a_fault_goes_on_and_only_then() -> None:
    during = Failure(100.5, 100.6, "503 model_not_loaded")
    begun_before = Failure(99.0, 101.0, "broken connection")
    begun_in = Failure(103.9, 110.0, "504 deadline_exceeded")
    before, after = Failure(98.0, 99.9, "503 overloaded"), Failure(104.1, 104.2, "503 overloaded")
    never_meant = Failure(100.5, 100.6, "500 internal_error", meant=False)
    failures = [during, begun_before, begun_in, before, after, never_meant]
    assert unexplained(failures, [KILLED, STOPPED]) == [before, after, never_meant]


def test_a_fault_that_never_healed_excuses_all_that_follows_and_breaks_the_promise() -> None:
    never = replace(KILLED, healed_s=None, note="no job moved")
    assert unexplained([Failure(500.0, 501.0, "503 overloaded")], [never]) == []
    assert not replace(RUN, faults=(never,)).kept_its_promise


def test_a_row_that_is_lost_doubled_or_wrong_breaks_the_promise() -> None:
    assert RUN.kept_its_promise
    for jobs in (Totals(lost=1), Totals(doubled=1), Totals(wrong=1)):
        assert not replace(RUN, jobs=jobs).kept_its_promise
    assert not replace(RUN, requests=Requests(wrong=1)).kept_its_promise


def test_half_a_change_of_the_deployment_breaks_the_promise_and_is_reported() -> None:
    life = Life(cycles=2, changes=18, promoted=2, met=("publish", "rollout", "publish"))
    whole = replace(RUN, life=life)
    assert whole.kept_its_promise
    assert "2 cycles, 2 rollouts promoted, 18 changes of the deployment, 0 violations" in report(whole)
    assert "Faults by step: publish 2, rollout 1" in report(whole)
    broken = replace(RUN, life=replace(life, broken=("generation 3 was seen after 4",)))
    assert not broken.kept_its_promise
    assert "- VIOLATION: generation 3 was seen after 4" in report(broken)


def test_the_report_says_what_was_asked_and_how_long_each_kind_took() -> None:
    assert report(RUN) == EXPECTED


EXPECTED = """\
3 faults in 10.5 minutes, seed 7: the promise was kept

|          fault | times | recovery median s | longest s |
| -------------: | ----: | ----------------: | --------: |
| worker SIGKILL |     2 |               3.0 |       4.0 |
|  Redis SIGSTOP |     1 |               1.0 |       1.0 |
|            all |     3 |               2.0 |       4.0 |

|     load |  asked |      rows | lost | doubled | wrong | refused in a fault | unexplained |
| -------: | -----: | --------: | ---: | ------: | ----: | -----------------: | ----------: |
|     jobs |    120 | 5,000,000 |    0 |       0 |     0 |                  - |           - |
| requests | 20,152 |    30,000 |    - |       - |     0 |                150 |           2 |

Seen besides:

- worker-1 ended with 70"""
