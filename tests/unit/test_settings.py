"""A wrong setting ends a program in words that name it, and never show a secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.settings import Settings, settings


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"), [("TAKT_PORT", "eighty"), ("TAKT_DEVICE", "gpu"), ("TAKT_LOG_LEVEL", "loud")]
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^{name}: "):
        settings()


def test_a_lease_must_outlast_the_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKT_LEASE_S", "20")
    with pytest.raises(SystemExit, match="TAKT_LEASE_S must be more than a second longer"):
        settings()


def test_a_password_shows_in_no_representation() -> None:
    assert "hunter2" not in repr(Settings(redis_url="redis://:hunter2@127.0.0.1:6379/0"))


@pytest.mark.parametrize(
    ("models", "names"), [("all", None), ("iris", {"iris"}), (" iris , quality,", {"iris", "quality"})]
)
def test_models_are_named_or_all(models: str, names: set[str] | None) -> None:
    assert Settings(models=models).model_names() == names
