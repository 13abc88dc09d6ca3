"""Shadow versions: runs sampled online rows in a sandbox of low priority, and compares the answers."""
