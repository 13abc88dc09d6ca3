"""The HTTP status of each error code. `shared/errors.py` defines the codes."""

from __future__ import annotations

STATUS = {
    "validation_error": 422,
    "unauthorized": 401,
    "forbidden": 403,
    "model_not_found": 404,
    "job_not_found": 404,
    "not_found": 404,
    "job_expired": 410,
    "results_not_ready": 409,
    "idempotency_conflict": 409,
    "idempotency_in_progress": 409,
    "request_timeout": 408,
    "upload_interrupted": 408,
    "invalid_state": 409,
    "version_exists": 409,
    "precondition_failed": 412,
    "not_acceptable": 406,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "too_many_jobs": 429,
    "prediction_failed": 500,
    "model_not_loaded": 503,
    "model_mismatch": 503,
    "overloaded": 503,
    "queue_unavailable": 503,
    "storage_full": 503,
    "not_durable": 503,
    "payload_unavailable": 503,
    "model_store_unavailable": 503,
    "payload_lost": 410,
    "payload_corrupt": 410,
    "deadline_exceeded": 504,
    "message_unreadable": 503,
    "record_unreadable": 500,
    "internal_error": 500,
}


def status_of(code: str) -> int:
    """The HTTP status of an error code; 500 if the table does not have it."""
    return STATUS.get(code, 500)
