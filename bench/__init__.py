"""Benchmarks that compare Takt with other servers ("rivals") in a single run on a machine.

Start them with `python -m bench` or `make bench`.

    plan ─▶ turns ─▶ servers (rivals/) ◀─ load (loads/) ─▶ samples ─▶ results ─▶ report

Only figures of the same run are compared. Rounds alternate between the rivals, so that a drift in machine
speed affects all of them. Add a rival as a module in rivals/, and a load generator as a module in loads/.
"""
