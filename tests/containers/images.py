"""Checks of the images' contents."""

from __future__ import annotations

import json

from tests.containers.stack import Stack, docker

API_BUDGET_MB = 300
WORKER_BUDGET_MB = 1350
"""Unpacked size that an image may add to python:3.11-slim; docs/containers.md explains it."""

PRESENT = "import sys; from importlib.util import find_spec; print([n for n in sys.argv[1:] if find_spec(n)])"
GATEWAY = """
import sys
from api import program
from api.jobs.doorbell import Doorbell
from shared.settings import Settings
doorbell = Doorbell(Settings(redis_url="redis://127.0.0.1:1/0"))
doorbell._client.llen = lambda _queue: 0  # nobody listens: otherwise nothing would be sent
doorbell.start()
doorbell("iris@1.0.0", 1)
doorbell.stop()
assert "kombu.transport.redis" in sys.modules
print([name for name in sys.modules if name.startswith(("celery.worker", "worker"))])
"""
TORCH = """
import importlib.metadata, re, torch
names = [d.name.lower() for d in importlib.metadata.distributions()]
print(torch.__version__, torch.version.cuda, [n for n in names if re.match("nvidia|cuda|triton", n)])
"""
NOT_FOR_IMAGES = ("/app/tests", "/app/*.joblib", "/app/*.pt", "*/.git", "*/.env*")
SPEAK = "import sys; print('예측', sys.stdout.encoding, sys.getfilesystemencoding())"


def the_api_image_holds_no_ml_framework(stack: Stack) -> str:
    forbidden = ("sklearn", "torch", "joblib", "pandas", "scipy", "worker")
    assert _python(stack.api_image, PRESENT, *forbidden) == "[]"
    return ", ".join(forbidden)


def the_gateway_loads_no_celery_worker(stack: Stack) -> str:
    loaded = _python(stack.api_image, GATEWAY).splitlines()[-1]
    assert loaded == "[]", loaded
    return ""


def the_worker_image_holds_no_web_framework(stack: Stack) -> str:
    forbidden = ("fastapi", "starlette", "uvicorn", "api")
    assert _python(stack.worker_image, PRESENT, *forbidden) == "[]"
    return ", ".join(forbidden)


def the_worker_image_holds_no_cuda_package(stack: Stack) -> str:
    said = _python(stack.worker_image, TORCH)
    assert said.endswith(" None []"), said
    return f"torch {said.split()[0]}"


def the_images_hold_no_secrets_tests_or_built_models(stack: Stack) -> str:
    for image in stack.images:
        found = _run(image, "find", "/", "-xdev", *_any_of(NOT_FOR_IMAGES), "-print")
        assert not found, f"{image}: {found}"
    return ""


def the_images_speak_korean(stack: Stack) -> str:
    for image in stack.images:
        assert _python(image, SPEAK) == "예측 utf-8 utf-8", _python(image, SPEAK)
    return ""


def the_api_image_keeps_its_budget(stack: Stack) -> str:
    return _size(stack.api_image, API_BUDGET_MB)


def the_worker_image_keeps_its_budget(stack: Stack) -> str:
    return _size(stack.worker_image, WORKER_BUDGET_MB)


def _any_of(paths: tuple[str, ...]) -> list[str]:
    """As `find` asks for it."""
    words = [word for path in paths for word in ("-o", "-path", path)]
    return ["-path", "/proc", "-prune", "-o", "(", *words[1:], ")"]


def _size(image: str, budget_mb: int) -> str:
    added_mb = _added_bytes(image) / 1e6
    total_mb = int(docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6
    assert added_mb <= budget_mb, f"{added_mb:.0f} MB of {budget_mb} MB"
    return f"adds {added_mb:.0f} MB of {budget_mb} MB to its base; {total_mb:.0f} MB in all"


def _added_bytes(image: str) -> int:
    """The layers above the base image: those newer than the LABEL that the last stage begins with."""
    history = docker("history", "--human=false", "--no-trunc", "--format", "{{json .}}", image)
    layers = [json.loads(line) for line in history.splitlines()]
    first = next(i for i, layer in enumerate(layers) if "image.title=takt-" in layer["CreatedBy"])
    return sum(int(layer["Size"]) for layer in layers[:first])


def _python(image: str, program: str, *arguments: str) -> str:
    return _run(image, "python", "-c", program, *arguments)


def _run(image: str, program: str, *arguments: str) -> str:
    return docker("run", "--rm", "--network=none", "--user=0", f"--entrypoint={program}", image, *arguments)


CHECKS = (
    the_api_image_holds_no_ml_framework,
    the_gateway_loads_no_celery_worker,
    the_worker_image_holds_no_web_framework,
    the_worker_image_holds_no_cuda_package,
    the_images_hold_no_secrets_tests_or_built_models,
    the_images_speak_korean,
    the_api_image_keeps_its_budget,
    the_worker_image_keeps_its_budget,
)
