"""An invalid setting ends a program with a message that names it and never shows a secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.connections import connect
from shared.settings import Settings, settings
from stack.valkey import masked


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


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1048576),
        ("10GB", 10_000_000_000),
        ("10 gb", 10_000_000_000),
        ("512MiB", 512 * 2**20),
        ("64k", 64_000),
        ("64Ki", 65_536),
        ("1.5GiB", 3 * 2**29),
        ("2T", 2 * 10**12),
        ("100B", 100),
        ("8_388_608", 8 * 2**20),
    ],
)
def test_a_size_may_have_a_unit(monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("TAKT_MAX_JOB_BYTES", text)
    monkeypatch.setenv("TAKT_MAX_STORED_BYTES", text)
    assert settings().max_job_bytes == size
    assert settings().max_stored_bytes == size


@pytest.mark.parametrize("text", ["ten", "10XB", "-1", "", "1e9", "0.3B", "5i", "GB", "1,5GB"])
def test_what_is_no_size_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TAKT_CHUNK_BYTES", text)
    with pytest.raises(SystemExit, match=r"^TAKT_CHUNK_BYTES: a size is a"):
        settings()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith("_bytes")])
def test_every_setting_in_bytes_takes_a_size(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"TAKT_{name.upper()}", "3MiB")
    assert getattr(settings(), name) == 3 * 2**20


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "rediss+sentinel"])
@pytest.mark.parametrize("character", list("@:/#?%[]\\ &="))
@pytest.mark.parametrize("user", ["", "takt"])
def test_no_piece_of_a_password_that_is_not_encoded_is_shown(
    monkeypatch: pytest.MonkeyPatch, scheme: str, character: str, user: str
) -> None:
    """The value is read correctly, or rejected with the setting's name."""
    password = f"hunter2{character}sesame"
    path = "main" if "sentinel" in scheme else "0"
    monkeypatch.setenv("TAKT_REDIS_URL", f"{scheme}://{user}:{password}@queue.example:6379/{path}")
    chosen, complaint = _settings_or_complaint()
    if chosen is None:
        assert complaint.startswith("TAKT_REDIS_URL: ")
        assert "percent-encoded" in complaint
        shown = complaint
    else:
        pool = connect(chosen.redis_dsn()).connection_pool
        assert pool.connection_kwargs["password"] == password
        shown = masked(chosen.redis_dsn()) + repr(chosen)
    assert "hunter2" not in shown
    assert "sesame" not in shown


def _settings_or_complaint() -> tuple[Settings | None, str]:
    try:
        return settings(), ""
    except SystemExit as end:
        return None, str(end)


@pytest.mark.parametrize("character", list("/#?["))
def test_a_password_that_would_be_cut_is_refused(monkeypatch: pytest.MonkeyPatch, character: str) -> None:
    monkeypatch.setenv("TAKT_REDIS_URL", f"redis://:ab{character}cd@queue:6379/0")
    with pytest.raises(SystemExit, match="percent-encoded"):
        settings()


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h", "redis://h:6379", "redis://h:6379/", "redis://h/3", "redis://u:p%2F@h:1/0"),
        *("redis://[::1]:6379/0", "unix:///run/valkey.sock?db=0", "redis://h/0?socket_timeout=3&db=2"),
        *("redis+sentinel://a:1,b:2/main?sentinel_password=p@ss", "rediss://h/0?ssl_ca_certs=%2Fca.pem"),
        *("rediss://h/0?ssl_ca_certs=/etc/ca.pem", "redis+sentinel://a:1, b:2/main", "redis:///0"),
    ],
)
def test_a_redis_url_that_is_right_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TAKT_REDIS_URL", url)
    assert settings().redis_dsn().startswith(url.partition("?")[0])


@pytest.mark.parametrize(
    "url",
    [
        *("http://h", "h:6379", "redis://h:port", "redis://u:1?x=2@h/0", "redis://u:12/3@h/0"),
        *("redis://h/zero", "redis://h/0?db=x", "redis://h/0?nonsense", "redis://u:12?db=3@h/0"),
    ],
)
def test_a_redis_url_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TAKT_REDIS_URL", url)
    with pytest.raises(SystemExit, match=r"^TAKT_REDIS_URL: "):
        settings()
