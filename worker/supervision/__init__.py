"""The processes of a worker machine: a supervisor, and a fork server that holds a single copy of the models.

    supervisor      `python -m worker run`: starts and restarts the others; no framework, no Redis connection
     └ fork server  imports frameworks and opens verified versions; computes nothing, one thread
        ├ worker    fork: Celery worker and engine
        ├ verifier  fork: opens and verifies a version, reports, ends
        └ sandbox   fork: runs the rows of a chunk that ended two workers

All forks are children of the supervisor, not of the fork server: a fork server that ends takes no worker
along, and the supervisor alone reaps.
"""
