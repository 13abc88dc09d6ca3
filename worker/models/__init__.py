"""Building and verifying model versions."""
