"""Counters, stage times and traces of requests."""
