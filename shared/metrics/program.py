"""What gateway and worker both say of themselves."""

from __future__ import annotations

from shared.metrics.metric import Metric, counter, gauge

BUILD = gauge("takt_build_info", "1; the version of the program is its label.", "release")

PROCESS: tuple[Metric, ...] = (
    gauge("process_resident_memory_bytes", "Memory of the process that is in RAM."),
    gauge("process_virtual_memory_bytes", "Memory that it has asked for."),
    gauge("process_start_time_seconds", "When it started, in seconds since 1970."),
    counter("process_cpu_seconds_total", "Processor time that it used."),
    gauge("process_open_fds", "Files and connections that it has open."),
    gauge("process_max_fds", "How many it may have."),
)
"""What prometheus_client says of a process, on Linux."""
