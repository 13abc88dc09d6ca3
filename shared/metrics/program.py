"""Metrics of every program."""

from __future__ import annotations

from shared.metrics.metric import Metric, counter, gauge

BUILD = gauge("takt_build_info", "1; the label is the version of the program.", "release")

PROCESS: tuple[Metric, ...] = (
    gauge("process_resident_memory_bytes", "Resident memory."),
    gauge("process_virtual_memory_bytes", "Virtual memory."),
    gauge("process_start_time_seconds", "Start time, in seconds since 1970."),
    counter("process_cpu_seconds_total", "Used processor time."),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "Limit of open file descriptors."),
)
"""Process metrics of prometheus_client, on Linux."""
