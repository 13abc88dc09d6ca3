"""Counters, stages, traces."""
