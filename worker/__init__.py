"""The Celery worker. It holds loaded models and is the only program of Takt that predicts.

execution/   the engine: a thread that calls the predictors and shares its time between both lanes
online/      the online lane: read entries from Redis, form batches, send replies
chunks/      the offline lane: claim a chunk, run it in slices, commit its result; reconciler, scrubber
sandbox/     quarantine: a chunk that ended two workers runs in a process of its own
predictors/  load, check, accelerate and call models
models/      commands that build and verify model versions
broker/      Celery: the application, its transport and the doorbells
webhooks/    delivery of webhooks
telemetry/   counters, metrics, history and traces

process, heartbeat, model_registry, memory: the worker's life cycle, its record in Redis, the model versions
it holds, and its memory limit
"""

from shared import use_system_allocator

use_system_allocator()
