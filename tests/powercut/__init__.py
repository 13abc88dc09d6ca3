"""Power cuts of a running Takt: comparison of acknowledged data with the data after the restart."""
