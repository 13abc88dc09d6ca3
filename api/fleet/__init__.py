"""State shared with the other processes: live workers and their load, queues, Redis."""
