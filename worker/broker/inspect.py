"""Celery's tools: `celery -A worker.broker.inspect inspect ping`, `celery -A worker.broker.inspect flower`

It only connects to TAKT_REDIS_URL and loads no model. Workers answer if TAKT_CELERY_TOOLS is on. Do not use
`worker.broker.celery_app` for tools: it is a worker, and moves items that are not doorbells to the dead
letters.
"""

from __future__ import annotations

from celery import Celery

from shared.doorbells import celery_settings
from shared.settings import settings

app = Celery("takt")
app.conf.update(celery_settings(settings()))
