"""The gateway's end of the online lane."""

from __future__ import annotations

from dataclasses import dataclass

from api.online.admission_control import AdmissionController
from api.online.dispatcher import OnlineDispatcher


@dataclass(frozen=True)
class OnlineLane:
    """Admission first, then the dispatcher."""

    dispatcher: OnlineDispatcher
    admission: AdmissionController
