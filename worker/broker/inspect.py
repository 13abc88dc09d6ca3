"""For Celery's own tools: `celery -A worker.broker.inspect inspect ping`, `celery -A worker.broker.inspect
flower`.

The queue of TAKT_REDIS_URL and nothing else: no model, no engine. Workers answer where TAKT_CELERY_TOOLS is
on. Not `worker.broker.app`, which is a worker: it sets aside whatever it finds in a queue that is no
doorbell.
"""

from __future__ import annotations

from celery import Celery

from shared.doorbells import celery_settings
from shared.settings import settings

app = Celery("takt")
app.conf.update(celery_settings(settings()))
