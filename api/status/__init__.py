"""What is wrong with the installation: observes facts, records since when, and notifies."""
