"""The offline lane: runs chunks of jobs, keeps their leases, reconciles lost work, scrubs stored data."""
