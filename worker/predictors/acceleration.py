"""Acceleration: compiles a loaded model, compares it with the native model, and uses the faster runtime.

native predictor ─ compile ─ compare ─ measure ─ choose ─▶ the same predictor, faster
                      │         └ answers differ: runtime not used, reported as such (any bit; for ONNX
                      │           Runtime, if requested, by more than the declared tolerance)
                      └ cannot be compiled: native, with the reason
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.columns import Array, Columns, of_rows
from shared.frameworks import Precision
from shared.input_specs import InputType
from shared.specs import ModelSpec
from shared.worker_records import MeasuredRuntime, Runtimes
from worker.predictors.base import ArrayRuntime, ModelRuntime, Predictor
from worker.predictors.comparison_rows import probes, with_missing
from worker.predictors.compiled import CompilableRuntime, Compiled, Kernel, NotCompiledError
from worker.predictors.equivalence import Parity, Reference
from worker.predictors.estimator_answers import EstimatorAnswers, prediction_of
from worker.predictors.onnx import ONNX
from worker.predictors.runtime_selection import NATIVE, Rates, Switch, choose

_FAR_BEHIND = 3
_NUMBERS = (InputType.FLOAT, InputType.FLOAT32, InputType.INT64)


def native_only(predictor: Predictor, why: str) -> Predictor:
    """The predictor unchanged, with the reason why it is not accelerated."""
    return replace(predictor, runtimes=_report(predictor.rates, {}, why))


def accelerate(predictor: Predictor) -> Predictor:
    """A predictor with the same answers that uses a compiled runtime if one is faster. It must be warm."""
    native = prediction_of(predictor.runtime)
    if native is None:
        return native_only(predictor, "only a single prediction is compiled, and no output shows one")
    if not isinstance(native, CompilableRuntime):
        return native_only(predictor, _why_not_compiled(predictor.spec))
    try:
        found = _candidates(predictor, native)
    except NotCompiledError as error:
        return native_only(predictor, str(error))
    except Exception as error:  # a library's internals may change in any release
        return native_only(predictor, f"not compiled: {type(error).__name__}: {error}")
    return _settled(predictor, found)


def with_chosen_runtimes(predictor: Predictor, runtimes: Runtimes) -> Predictor:
    """The predictor with the runtimes that `accelerate` chose for it in another process. No row is
    predicted."""
    chosen = {size: one.name for one in runtimes.measured for size in one.serves}
    names = set(chosen.values()) - {NATIVE}
    native = prediction_of(predictor.runtime)
    if not names or not isinstance(native, CompilableRuntime):
        return replace(predictor, runtimes=runtimes)
    kernels = _compiled(predictor.spec, native).kernels
    no_rows = native.rows(of_rows(predictor.spec, []))
    found: dict[str, ModelRuntime] = {NATIVE: predictor.runtime}
    for name in names:
        kernels[name](no_rows)  # makes machine code now, once for all forks
        compiled = KernelRuntime(native, kernels[name], predictor.spec.tolerance if name == ONNX else 0.0)
        found[name] = _in_place_of_prediction(predictor.runtime, compiled)
    return replace(predictor, runtime=Switch(found, chosen), runtimes=runtimes)


def _why_not_compiled(spec: ModelSpec) -> str:
    computed = "" if spec.precision is Precision.FLOAT32 else f"in {spec.precision}; "
    return f"{computed}{spec.framework} models are not compiled"


@dataclass(frozen=True)
class RuntimeCandidate:
    """A compiled runtime, its comparison with the native runtime, and its rates."""

    runtime: ModelRuntime
    parity: Parity
    tolerance: float = 0.0  # largest allowed difference of its answers
    rates: Rates = field(default_factory=dict)  # empty if it is not accepted

    @property
    def accepted(self) -> bool:
        return self.parity.bit_equal or self.parity.max_difference <= self.tolerance > 0


class KernelRuntime:
    """A kernel as a Runtime. Rows that the kernel does not handle go to the native model."""

    def __init__(self, native: CompilableRuntime, kernel: Kernel, tolerance: float = 0.0) -> None:
        self._native = native
        self._kernel = kernel
        self._margin = 2 * tolerance  # two probabilities, each off by the tolerance, may change places

    def __call__(self, columns: Columns) -> Array:
        self._native.limit_threads()
        answer = self._kernel(self._native.rows(columns))
        if answer is None:
            return self._native(columns)
        return self._native.labelled(columns, answer, self._margin)


def _candidates(predictor: Predictor, native: CompilableRuntime) -> dict[str, RuntimeCandidate]:
    """All kernels, compared and measured. Raises NotCompiledError, and any exception of the compiler."""
    compiled = _compiled(predictor.spec, native)
    rows = probes(predictor.spec, native.features, compiled.thresholds)
    if native.takes_missing:
        rows = with_missing(predictor.spec, rows)
    reference = Reference(native, rows, predictor.rates)
    found = {}
    for name, kernel in compiled.kernels.items():
        tolerance = predictor.spec.tolerance if name == ONNX else 0.0
        compiled_runtime = KernelRuntime(native, kernel, tolerance)
        runtime = _in_place_of_prediction(predictor.runtime, compiled_runtime)
        candidate = RuntimeCandidate(runtime, reference.compare(compiled_runtime), tolerance)
        rates = _rates(replace(predictor, runtime=runtime)) if candidate.accepted else {}
        found[name] = replace(candidate, rates=rates)
    return found


def _in_place_of_prediction(native: ModelRuntime, compiled: ArrayRuntime) -> ModelRuntime:
    """The compiled runtime, beside the native methods that other outputs show."""
    return native.with_prediction(compiled) if isinstance(native, EstimatorAnswers) else compiled


def _compiled(spec: ModelSpec, native: CompilableRuntime) -> Compiled:
    odd = [i for i in spec.inputs if i.name in native.features and i.type not in _NUMBERS]
    if odd:
        raise NotCompiledError(f"{odd[0].name!r} is {odd[0].type}: only numeric models are compiled")
    return native.compiled(spec)


def _rates(candidate: Predictor) -> dict[int, float]:
    """Rows/s in calls of growing size, until it is far slower than the native runtime.

    A smaller gap may be due to a busy machine, and a size that is not measured is never used.
    """
    rates: dict[int, float] = {}
    for size in sorted(candidate.rates):
        rates |= candidate.warm_up([size])
        if rates[size] * _FAR_BEHIND < candidate.rates[size]:
            break
    return rates


def _settled(predictor: Predictor, found: Mapping[str, RuntimeCandidate]) -> Predictor:
    chosen = choose(predictor.rates, {name: candidate.rates for name, candidate in found.items()})
    runtimes: dict[str, ModelRuntime] = {NATIVE: predictor.runtime}
    runtimes |= {name: candidate.runtime for name, candidate in found.items()}
    rates = {
        size: predictor.rates[size] if name == NATIVE else found[name].rates[size]
        for size, name in chosen.items()
    }
    return replace(
        predictor,
        runtime=Switch(runtimes, chosen),
        rates=rates,
        runtimes=_report(predictor.rates, found, _why_native(chosen, found), chosen),
    )


def _why_native(chosen: Mapping[int, str], found: Mapping[str, RuntimeCandidate]) -> str:
    if set(chosen.values()) != {NATIVE}:
        return ""
    differing = [
        f"{name} differs by up to {c.parity.max_difference:.1e}"
        for name, c in found.items()
        if not c.accepted
    ]
    return ", ".join(differing) or "no compiled runtime is faster"


def _report(
    native_rates: Rates,
    found: Mapping[str, RuntimeCandidate],
    note: str,
    chosen: Mapping[int, str] | None = None,
) -> Runtimes:
    by_size = chosen or dict.fromkeys(native_rates, NATIVE)

    def serves(name: str) -> tuple[int, ...]:
        return tuple(size for size, runtime in by_size.items() if runtime == name)

    native = MeasuredRuntime(name=NATIVE, rows_per_s=_rounded(native_rates), serves=serves(NATIVE))
    others = [
        MeasuredRuntime(
            name=name,
            bit_equal=candidate.parity.bit_equal,
            compared_rows=candidate.parity.rows,
            max_difference=candidate.parity.max_difference,
            tolerance=candidate.tolerance,
            rows_per_s=_rounded(candidate.rates),
            serves=serves(name),
        )
        for name, candidate in found.items()
    ]
    return Runtimes(note=note, measured=(native, *others))


def _rounded(rates: Rates) -> dict[int, float]:
    return {size: round(rate, 1) for size, rate in rates.items()}
