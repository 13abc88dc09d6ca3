"""The conditions of an installation that need a person, in one list.

    facts.py ─▶ deciders.py ─ what is wrong ─▶ causes.py ─ without consequences ─▶ records.py ─ since when
                    └─ kinds.py: code, severity, message, remedy, alerts

`GET /status`, `takt doctor`, the console's verdict and notifications show the same conditions; a test
compares the alert rules of Prometheus with this list.
"""

from shared.conditions.causes import without_consequences
from shared.conditions.deciders import conditions_of
from shared.conditions.facts import GatewayFacts, RedisFacts, StatusFacts, StoreFacts
from shared.conditions.kinds import BY_CODE, KINDS, ConditionKind, Severity
from shared.conditions.records import Condition, ConditionTracker, Standing, Status, status_of

__all__ = [
    "BY_CODE",
    "KINDS",
    "Condition",
    "ConditionKind",
    "ConditionTracker",
    "GatewayFacts",
    "RedisFacts",
    "Severity",
    "Standing",
    "Status",
    "StatusFacts",
    "StoreFacts",
    "conditions_of",
    "status_of",
    "without_consequences",
]
