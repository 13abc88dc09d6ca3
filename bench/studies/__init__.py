"""Studies that were made once and published; nothing else depends on them."""
