"""Admission to the online lane, with counters and early rejection.

A gateway with many times the load that its models can serve spends most of its time on rejections. So while
it rejects requests, it decides on single predictions as soon as their head is read (`refusal`), before they
cost a task, a body or a parse. A request that passes is decided on again when its body is complete.
"""

from __future__ import annotations

import time
from typing import cast

from starlette.types import Scope
from uvicorn._types import HTTPScope

from api.access.authenticator import Authenticator
from api.access.principal import ANONYMOUS, Principal
from api.fleet.fleet_watch import FleetWatch
from api.fleet.redis_status import RedisStatus
from api.http.cors import is_of_page
from api.http.headers import field_of, preferred_wait_s, prefers_async
from api.models.catalog import Catalog, Servable
from api.online.admission_policy import (
    Owners,
    QueueClaim,
    RetrySchedule,
    admit,
    claim_of,
    not_loaded,
    traffic_of,
)
from api.online.inflight import InflightRequests
from api.online.prediction_paths import predict_path_of
from api.telemetry.gateway_counters import ROUTE
from shared.errors import DeadlineExceededError, ModelNotLoadedError, OverloadedError, ServiceError
from shared.settings import Settings


class AdmissionController:
    """Admission of a gateway. It determines how long requests wait, and schedules retries of rejections."""

    def __init__(
        self,
        settings: Settings,
        *,
        authenticator: Authenticator,
        catalog: Catalog,
        queue: RedisStatus,
        watch: FleetWatch,
        inflight: InflightRequests,
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._catalog = catalog
        self._queue = queue
        self._watch = watch
        self._inflight = inflight
        self._retries = RetrySchedule()
        self._owners = Owners()
        self._to_pages = bool(settings.origins())
        """CORS headers are added around the routes, which an early rejection does not reach."""

    def wait_s(self, asked_s: float | None) -> float:
        """The wait of a request that asks for `asked_s`; None: the default."""
        settings = self._settings
        return min(settings.default_wait_s if asked_s is None else asked_s, settings.max_wait_s)

    def admit(self, servable: Servable, rows: int, wait_s: float, caller: Principal = ANONYMOUS) -> None:
        """Return if the request may enter now. Counts admitted and rejected requests.

        Raises QueueUnavailable, ModelNotLoadedError, ModelMismatch, Overloaded, or DeadlineExceededError for
        a wait
        that is 0 or too short.
        """
        try:
            self.judge(servable, rows, wait_s, caller)
        except ServiceError as error:
            servable.counters.shed[error.code] += 1
            raise
        servable.counters.admitted += 1

    def refusal(self, scope: HTTPScope) -> OverloadedError | None:
        """Reject a request by its head alone. → the error, or None if its body is to be read"""
        target = predict_path_of(scope["path"])
        if target is None or target.batch or scope["method"] != "POST":
            return None
        headers = dict(scope["headers"])
        prefer = field_of(scope["headers"], b"prefer")
        if prefers_async(prefer) or (self._to_pages and is_of_page(headers)):
            return None
        try:
            caller = self._authenticator.authenticate(scope["headers"])
            servable = self._catalog.find(target.model, target.version, caller)
            self.judge(servable, 1, self.wait_s(preferred_wait_s(prefer)), caller)
        except OverloadedError as error:
            servable.counters.refused(error.code)
            cast(Scope, scope)[ROUTE] = target.route
            return error
        except ServiceError:
            return None  # raised again after the request is read
        return None

    @property
    def refusing(self) -> bool:
        """Whether a rejected client's retry is still due."""
        return self._retries.lasts(time.monotonic())

    def judge(self, servable: Servable, rows: int, wait_s: float, caller: Principal = ANONYMOUS) -> None:
        """`admit` without counting."""
        self._queue.require_open()
        if wait_s <= 0:
            raise DeadlineExceededError("The request's wait is 0 s.")
        now_s = time.monotonic()
        traffic = traffic_of(
            servable.key,
            servable.spec,
            self._watch.fleet,
            self._inflight,
            self._settings.max_inflight_rows,
        )
        claim = None if caller is ANONYMOUS else self._claim(caller, servable, now_s)
        try:
            admit(traffic, servable.key, rows, wait_s, retries=self._retries, now_s=now_s, claim=claim)
        except ModelNotLoadedError as error:
            raise not_loaded(servable.key, self._watch.fleet.availability(servable.key), error) from None

    def _claim(self, caller: Principal, servable: Servable, now_s: float) -> QueueClaim | None:
        """The caller's claim beside other owners; None if no other owner is active."""
        share = self._owners.share(caller.name, caller.share.weight, now_s)
        if share == 1:
            return None
        default_s = self._settings.default_wait_s
        fleet = self._watch.fleet
        return claim_of(caller.name, share, servable.key, fleet, self._inflight, default_wait_s=default_s)
