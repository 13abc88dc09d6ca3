"""Jobs: submission, description, waiting and results. No HTTP routing; the ledger owns all job state."""
