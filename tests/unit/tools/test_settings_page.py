"""The settings page matches the settings."""

from __future__ import annotations

import re

from shared.settings import Settings
from tests.support.documents import ROOT
from tools.settings_page import page


def test_the_page_in_docs_is_generated_from_the_code() -> None:
    kept = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert kept == page(), "python -m tools.settings_page > docs/settings.md"


def test_every_setting_has_a_description() -> None:
    rows = re.findall(r"^- `(TAKT_\w+)`.*?: (\S.*)$", page(), re.MULTILINE)
    assert [name for name, _ in rows] == [f"TAKT_{name.upper()}" for name in Settings.model_fields]
