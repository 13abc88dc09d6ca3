"""The operator's commands: `takt up`, `doctor`, `models`, `workers`, `keys` and `dead-letters`.

The gateway, the workers and the queue are started as separate programs; their code is never imported here.
"""
