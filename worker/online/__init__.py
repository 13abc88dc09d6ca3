"""The online lane: reads entries, forms batches, sends replies."""
