"""The online stream: entries in, replies out."""
