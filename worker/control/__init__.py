"""Messages between the processes of a worker machine, and what a process asks of its operating system.

supervisor ◀─▶ fork server, supervisor ◀─▶ worker, verifier ─▶ supervisor: each over a Unix socket, as
MessagePack. Imports no framework, no Redis client and no Celery: the supervisor imports it.
"""
