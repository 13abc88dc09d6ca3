"""Random gRPC messages: mutations of valid requests, and bytes that are no message at all.

Every call must end with a status that names its cause, and the gateway must answer valid requests afterwards.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SERVICE = "inference.GRPCInferenceService"
LIMIT_S = 10.0
_EXPLAINED = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "RESOURCE_EXHAUSTED",  # a message larger than the limit
    "UNAVAILABLE",  # a model that no worker holds, with its code in the trailing metadata
    "DEADLINE_EXCEEDED",
}
"""Statuses that a client can act on."""


@dataclass
class Findings:
    """The statuses of all calls, and the calls without an explanation."""

    statuses: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        return "\n".join([f"{sum(self.statuses.values())} calls: {counts}", *self.unexplained])


def fuzz_rpcs(address: str, *, cases: int, seed: int) -> Findings:
    """Send `cases` random messages to a running Takt that serves iris and classifier."""
    import grpc

    findings, luck = Findings(), random.Random(seed)
    with grpc.insecure_channel(address) as channel:
        for number in range(cases):
            call = luck.choice(list(_VALID))
            data = mutated(luck, _VALID[call](luck))
            status, details, trailing = _outcome(channel, call, data)
            findings.statuses[status] += 1
            if not _is_explained(status, trailing):
                findings.unexplained.append(f"case {number}: {call} {data.hex()} → {status}: {details}")
        for call, valid in _VALID.items():
            status, details, _ = _outcome(channel, call, valid(luck))
            if status != "OK":
                findings.unexplained.append(f"afterwards: a valid {call} → {status}: {details}")
    return findings


def _outcome(channel: Any, call: str, data: bytes) -> tuple[str, str, dict[str, str]]:
    """Status, details and trailing metadata of a call whose request is these bytes."""
    import grpc

    if call == "ModelStreamInfer":
        method = channel.stream_stream(f"/{SERVICE}/{call}")
        answers = method(iter([data]), timeout=LIMIT_S)
        try:
            list(answers)
        except grpc.RpcError as error:
            return _of_error(error)
        return "OK", "", {}
    try:
        channel.unary_unary(f"/{SERVICE}/{call}")(data, timeout=LIMIT_S)
    except grpc.RpcError as error:
        return _of_error(error)
    return "OK", "", {}


def _of_error(error: Any) -> tuple[str, str, dict[str, str]]:
    return error.code().name, error.details() or "", dict(error.trailing_metadata() or ())


def _is_explained(status: str, trailing: dict[str, str]) -> bool:
    return status in _EXPLAINED and (
        status in ("OK", "RESOURCE_EXHAUSTED") or bool(trailing.get("takt-error"))
    )


# -- messages -----------------------------------------------------------------------------------------------


def _infer(luck: random.Random) -> bytes:
    from api.rpc import inference_pb2 as pb

    model, width, kind, size = luck.choice([("iris", 4, "FP64", 8), ("classifier", 10, "FP32", 4)])
    rows = luck.randint(1, 5)
    tensor = pb.ModelInferRequest.InferInputTensor(name="all", datatype=kind, shape=[rows, width])
    request = pb.ModelInferRequest(model_name=model, inputs=[tensor], id=str(luck.random()))
    if model == "iris" and luck.random() < 0.5:
        request.inputs[0].contents.fp64_contents.extend([1.0] * rows * width)
    else:
        request.raw_input_contents.append(bytes(rows * width * size))
    if luck.random() < 0.3:
        request.outputs.add(name="confidence" if model == "iris" else "probabilities")
    if luck.random() < 0.3:
        request.parameters["timeout"].int64_param = 5_000_000
    return bytes(request.SerializeToString())


def _named(kind: str) -> Callable[[random.Random], bytes]:
    def make(luck: random.Random) -> bytes:
        from api.rpc import inference_pb2 as pb

        return bytes(
            getattr(pb, f"{kind}Request")(name=luck.choice(["iris", "classifier"])).SerializeToString()
        )

    return make


def _index(luck: random.Random) -> bytes:
    from api.rpc import inference_pb2 as pb

    return bytes(pb.RepositoryIndexRequest(ready=luck.random() < 0.5).SerializeToString())


def _load(luck: random.Random) -> bytes:
    from api.rpc import inference_pb2 as pb

    request = pb.RepositoryModelLoadRequest(model_name="iris")
    request.parameters["version"].string_param = "1.0.0"
    return bytes(request.SerializeToString())


_VALID: dict[str, Callable[[random.Random], bytes]] = {
    "ModelInfer": _infer,
    "ModelStreamInfer": _infer,
    "ModelMetadata": _named("ModelMetadata"),
    "ModelConfig": _named("ModelConfig"),
    "ModelReady": _named("ModelReady"),
    "ModelStatistics": _named("ModelStatistics"),
    "RepositoryIndex": _index,
    "RepositoryModelLoad": _load,
}
"""A valid request of each call, as bytes. Unloading is left out: it would end the other calls."""


# -- mutations ----------------------------------------------------------------------------------------------


def mutated(luck: random.Random, data: bytes) -> bytes:
    """The bytes after some random changes, or other bytes."""
    if luck.random() < 0.1:
        return luck.randbytes(luck.randint(0, 300))
    changed = bytearray(data)
    for _ in range(luck.randint(1, 4)):
        luck.choice(_MUTATIONS)(luck, changed)
    return bytes(changed)


def _flip(luck: random.Random, data: bytearray) -> None:
    if data:
        data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)


def _replace(luck: random.Random, data: bytearray) -> None:
    if data:
        data[luck.randrange(len(data))] = luck.choice((0, 1, 0x7F, 0x80, 0xFF, luck.randrange(256)))


def _cut(luck: random.Random, data: bytearray) -> None:
    del data[luck.randint(0, len(data)) :]


def _repeat(luck: random.Random, data: bytearray) -> None:
    start = luck.randint(0, len(data))
    data += data[start : start + luck.randint(0, 40)]


def _insert(luck: random.Random, data: bytearray) -> None:
    at = luck.randint(0, len(data))
    data[at:at] = luck.randbytes(luck.randint(1, 8))


_MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (_flip, _replace, _cut, _repeat, _insert)
