"""The two parts of the online lane that routes use."""

from __future__ import annotations

from dataclasses import dataclass

from api.online.admission_control import AdmissionController
from api.online.dispatcher import OnlineDispatcher


@dataclass(frozen=True)
class OnlineLane:
    """Ask `admission` first, then send the request with `dispatcher`."""

    dispatcher: OnlineDispatcher
    admission: AdmissionController
