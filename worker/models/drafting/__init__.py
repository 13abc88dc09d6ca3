"""Drafts of models: from a trained file to a model.toml, a version and golden rows that verify.

artifact ─ facts ─┐
                  ├─ draft ─ model.toml ─ manifest ─ golden rows of the model's own answers ─ verify
sample ── columns ┘
"""
