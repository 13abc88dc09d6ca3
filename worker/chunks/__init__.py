"""Chunks of jobs: claim, run, commit; leases; the reconciler."""
