"""Modules that the gateway must never load."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from api.jobs.doorbell import Doorbell
from api.app import create_app
from shared.settings import Settings
doorbell = Doorbell(Settings(redis_url="redis://127.0.0.1:1/0"))
doorbell._client.llen = lambda _queue: 0  # nobody listens: otherwise nothing would be sent
doorbell.start()
doorbell("iris@1.0.0", 1)
doorbell.stop()
print("\\n".join(sys.modules))
"""

EACH_ALONE = """
import importlib, pkgutil, sys
import api
names = [m.name for m in pkgutil.walk_packages(api.__path__, "api.") if not m.name.endswith("__main__")]
assert len(names) > 100
for name in names:
    for loaded in [known for known in sys.modules if known.startswith("api.")]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""


def test_each_module_of_the_gateway_can_be_the_first() -> None:
    subprocess.run([sys.executable, "-c", EACH_ALONE], check=True)


def test_the_gateway_loads_no_framework_and_no_celery_worker() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert {"celery", "kombu.transport.redis"} <= set(loaded)
    forbidden = ("sklearn", "torch", "joblib", "pandas", "scipy", "worker", "celery.worker")
    assert [name for name in loaded if name.startswith(forbidden)] == []
