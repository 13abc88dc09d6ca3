"""/jobs: work that is handed over now and fetched later. All of a job's state is the ledger's."""
