"""Programs for work on the repository: installation, audit, generated files."""
