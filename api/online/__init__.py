"""The gateway's side of the online lane: admission, entries to the stream, replies to clients."""
