"""Benchmarks: rivals and Takt side by side in one run, on one machine. `python -m bench`, or `make bench`.

    plan ─▶ turns ─▶ servers (rivals/) ◀─ load (loads/) ─▶ samples ─▶ results ─▶ report

What is compared is what happened within one run: rounds alternate between the rivals, so that a machine whose
speed drifts slows all of them. A new rival is a file in rivals/, a new way to load them a file in loads/.
"""
