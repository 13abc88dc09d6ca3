"""`python -m tools.dashboard > deploy/grafana/takt.json`: generates the Grafana dashboard of `panels`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from tools.panels import ROWS, Panel

Json: TypeAlias = dict[str, object]

WIDTH = 24
ROW_HEIGHT, STAT_HEIGHT, GRAPH_HEIGHT = 1, 4, 8
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard() -> Json:
    return {
        "uid": "takt",
        "title": "Takt",
        "tags": ["takt"],
        "schemaVersion": 39,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "editable": True,
        "templating": {"list": [_source_choice(), _model_choice()]},
        "panels": list(_placed()),
    }


def page() -> str:
    """Returns the file for import into Grafana."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=1).decode() + "\n"


def _placed() -> Iterator[Json]:
    """Yields rows and panels with their positions, from left to right and top to bottom."""
    number, top = 0, 0
    for title, panels in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": _at(0, top, WIDTH, 1),
        }
        top += ROW_HEIGHT
        left, height = 0, 0
        for panel in panels:
            if left + panel.width > WIDTH:
                left, top = 0, top + height
            height = STAT_HEIGHT if panel.stat else GRAPH_HEIGHT
            number += 1
            yield {"id": number, "gridPos": _at(left, top, panel.width, height)} | _drawn(panel)
            left += panel.width
        top += height


def _at(left: int, top: int, width: int, height: int) -> Json:
    return {"x": left, "y": top, "w": width, "h": height}


def _drawn(panel: Panel) -> Json:
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": _looks(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _looks(panel: Panel) -> Json:
    if panel.stat:
        return {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": _steps(panel.alarm)}}
    stacking = {"mode": "normal" if panel.stacked else "none"}
    custom = {"lineWidth": 1, "fillOpacity": 30 if panel.stacked else 5, "stacking": stacking}
    return {"unit": panel.unit, "min": 0, "custom": custom}


def _steps(alarm: tuple[float, float] | None) -> list[Json]:
    steps: list[Json] = [{"color": "green", "value": None}]
    if alarm is None:  # the alarm is a value of 0
        return [{"color": "red", "value": None}, {"color": "green", "value": 1}]
    yellow, red = alarm
    if yellow < red:
        steps.append({"color": "yellow", "value": yellow})
    return [*steps, {"color": "red", "value": red}]


def _options(panel: Panel) -> Json:
    if panel.stat:
        return {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _source_choice() -> Json:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _model_choice() -> Json:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": "label_values(takt_model_workers, model)", "refId": "models"},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    print(page(), end="")
