"""The parameters of a request that have a meaning.

`timeout` is the wait in microseconds. `priority` is checked and has no effect: online requests run in the
order of their arrival. Sequences are refused, since no model has a state between requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.errors import InvalidInputError

_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")
BINARY_DATA_OUTPUT, BINARY_DATA, BINARY_DATA_SIZE = "binary_data_output", "binary_data", "binary_data_size"
CLASSIFICATION = "classification"
SHARED_MEMORY = "shared_memory_region"


def check_parameters(parameters: Mapping[str, object]) -> None:
    """Raises InvalidInputError if the request needs a sequence, or its priority is invalid."""
    for name in _SEQUENCES:
        if parameters.get(name):
            raise InvalidInputError(
                f"Parameter {name!r} is not supported: models keep no state between requests."
            )
    whole(parameters, "priority")


def timeout_s(parameters: Mapping[str, object]) -> float | None:
    """The wait that the request asks for; None or 0: the default."""
    timeout_us = whole(parameters, "timeout")
    return timeout_us / 1e6 if timeout_us else None


def whole(parameters: Mapping[str, object], name: str) -> int:
    """A parameter that is a whole number from 0; 0 if it is missing. Raises InvalidInputError."""
    value = parameters.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInputError(f"Parameter {name!r} must be a whole number from 0.")
    return value


def flag(parameters: Mapping[str, object], name: str) -> bool:
    """A parameter that is true or false; false if it is missing. Raises InvalidInputError."""
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise InvalidInputError(f"Parameter {name!r} must be true or false.")
    return value


def refuse_shared_memory(name: str, parameters: Mapping[str, object]) -> None:
    if SHARED_MEMORY in parameters:
        raise InvalidInputError(f"Tensor {name!r}: shared memory is not supported.")
