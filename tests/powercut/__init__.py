"""Power cuts of a running Takt: what was acknowledged, and what is there afterwards."""
