"""Settings of the unit tests."""

from __future__ import annotations

from hypothesis import settings

# The first example pays for lazy imports, and machines are shared: a deadline would test those.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
