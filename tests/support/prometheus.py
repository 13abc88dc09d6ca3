"""A real Prometheus that scrapes a stack with the configuration of deploy/."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.monitoring import PROMETHEUS, RULES
from tests.support.polling import eventually
from tests.support.servers import free_port, program

STARTS_S = 60.0


class Prometheus:
    """Client of Prometheus' HTTP API."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @property
    def ready(self) -> bool:
        try:
            return self._http.get("/-/ready").is_success
        except httpx.TransportError:
            return False

    def query(self, text: str) -> Sequence[Mapping[str, Any]]:
        """The series of a query's answer (Any: JSON). Raises AssertionError for an error."""
        answer = self._http.get("/api/v1/query", params={"query": text}).json()
        assert answer["status"] == "success", f"{text}: {answer}"
        found: Sequence[Mapping[str, Any]] = answer["data"]["result"]
        return found

    def value(self, text: str) -> float | None:
        """The value of a query with a series; None without a series."""
        found = self.query(text)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[Mapping[str, Any]]:
        """The evaluated alert rules (Any: JSON)."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def scraping(gateway_address: str, folder: Path) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes a gateway at `host:port` and its discovered targets every second."""
    binary, port = program("prometheus"), free_port()
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(gateway_address)), encoding="utf-8")
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20.0, verify=False) as http:
                started = Prometheus(http)
                eventually(lambda: started.ready, limit_s=STARTS_S, every_s=0.2)
                yield started
        finally:
            process.terminate()
            process.wait(timeout=30)


def _config(gateway_address: str) -> dict[str, Any]:  # Any: YAML
    text = (PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text.replace("127.0.0.1:8000", gateway_address))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES)]
    for scrape in config["scrape_configs"]:
        for found in scrape.get("http_sd_configs", ()):
            found["refresh_interval"] = "1s"
    return config
