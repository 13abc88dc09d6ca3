"""`python -m bench.kernels`: speed-up of compiled runtimes for a call, on a single thread, without a server.

The models are one of each compilable kind, fitted on random rows, and the shipped iris forest. A round
compares the answers of a model's native and compiled runtimes, then calls them alternately at each call size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import stored_runs
from bench.commands import ended, say
from bench.kernels_report import KernelResults, KernelTimed
from bench.machine import Began
from bench.subjects import subject
from shared.repository import open_repository

SIZES = (1, 8, 64, 1_024, 16_384)
RANGE = (-2.0, 8.0)  # range of the random values; covers iris and the models fitted here
_FEATURES = 20
_FITTED_ROWS = 4_000
_LEAST_S = 0.02
_MOST_CALLS = 50

Estimator = Any  # scikit-learn publishes no types
Call = Callable[[np.ndarray], "np.ndarray | None"]


def main(words: Sequence[str]) -> int:
    given = _parser().parse_args(words)
    command = f"python -m bench.kernels {' '.join(words)}".strip()
    return ended("bench.kernels", lambda: stored_runs.report_and_keep(_measure(given, command), given.json))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS), help="a,b of: " + ", ".join(MODELS))
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="a,b: rows of a call")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="output file (in bench/results)")
    return parser


def _measure(given: argparse.Namespace, command: str) -> KernelResults:
    """Raises ValueError for an unknown model, and for an answer that differs from the native runtime's."""
    began = Began(command)
    timed: list[KernelTimed] = []
    for name in given.models.split(","):
        if name not in MODELS:
            raise ValueError(f"unknown model {name!r}; available: {', '.join(MODELS)}")
        say(name)
        timed += _timed(name, MODELS[name](), [int(size) for size in given.sizes.split(",")], given.rounds)
    return KernelResults(timed=tuple(timed), **began.facts())


def _timed(name: str, estimator: Estimator, sizes: Sequence[int], rounds: int) -> Iterator[KernelTimed]:
    runtimes = _runtimes(estimator)
    drawn = np.random.default_rng(7).uniform(*RANGE, (max(sizes), estimator.n_features_in_))
    for size in sizes:
        rows = drawn[:size]
        _compare(name, runtimes, rows)
        for number in range(rounds):
            for runtime, call in runtimes.items():
                yield KernelTimed(number, name, runtime, size, _ms_a_call(call, rows))


def _runtimes(estimator: Estimator) -> dict[str, Call]:
    from worker.predictors.compiled import compile_estimator

    classifies = hasattr(estimator, "predict_proba")
    native: Call = estimator.predict_proba if classifies else estimator.predict
    return {"native": native, **compile_estimator(estimator, probabilities=classifies).kernels}


def _compare(name: str, runtimes: Mapping[str, Call], rows: np.ndarray) -> None:
    answers = {runtime: np.asarray(call(rows)).tobytes() for runtime, call in runtimes.items()}
    wrong = [runtime for runtime, answer in answers.items() if answer != answers["native"]]
    if wrong:
        raise ValueError(f"{name}: {wrong[0]} differs from the native runtime for {len(rows)} rows")


def _ms_a_call(call: Call, rows: np.ndarray) -> float:
    """The minimum over some calls, because other load on the machine only adds time."""
    least_s, begun_s = float("inf"), time.perf_counter()
    for _ in range(_MOST_CALLS):
        started_s = time.perf_counter()
        call(rows)
        ended_s = time.perf_counter()
        least_s = min(least_s, ended_s - started_s)
        if ended_s - begun_s > _LEAST_S:
            break
    return least_s * 1e3


def _iris() -> Estimator:
    import joblib

    forest = joblib.load(open_repository(subject("iris").repository).version("iris").verify())
    forest.n_jobs = 1  # same call as in a worker
    return forest


def _fitted(make: Callable[[], Estimator]) -> Callable[[], Estimator]:
    def fit() -> Estimator:
        luck, estimator = np.random.default_rng(3), make()
        rows = luck.uniform(*RANGE, (_FITTED_ROWS, _FEATURES))
        values = rows[:, 0] * rows[:, 1] + rows[:, 2] + luck.normal(size=_FITTED_ROWS)
        labels = np.digitize(values, np.quantile(values, [0.3, 0.7]))
        return estimator.fit(rows, labels if hasattr(estimator, "predict_proba") else values)

    return fit


def _sklearn(module: str, name: str, **options: Any) -> Callable[[], Estimator]:
    def make() -> Estimator:
        from importlib import import_module

        return getattr(import_module(f"sklearn.{module}"), name)(**options)

    return _fitted(make)


def _pipeline() -> Estimator:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression())


MODELS: Mapping[str, Callable[[], Estimator]] = {
    "iris": _iris,
    "forest of deep trees": _sklearn("ensemble", "RandomForestClassifier", n_estimators=100, random_state=0),
    "gradient boosting": _sklearn("ensemble", "GradientBoostingClassifier", n_estimators=100, random_state=0),
    "histogram boosting": _sklearn(
        "ensemble", "HistGradientBoostingClassifier", max_iter=100, random_state=0
    ),
    "scaler and logistic regression": _fitted(_pipeline),
    "ridge": _sklearn("linear_model", "Ridge"),
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
