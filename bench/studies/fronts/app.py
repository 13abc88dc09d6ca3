"""The gateway's application for servers that import it, prepared as in `python -m api`."""

from __future__ import annotations

import gc

from api.app import create_app
from shared.logs import configure_logging
from shared.settings import settings

configure_logging(settings())
app = create_app(settings())
gc.collect()
gc.freeze()
