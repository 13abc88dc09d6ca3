"""Programs of the repository: set-up, audit, generated documents."""
