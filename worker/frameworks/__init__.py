"""Implementations of frameworks, each a module with `load` and `made_by`; see `shared/frameworks/builtin.py`.

A module is imported when the first model of its framework is built or loaded.
"""
