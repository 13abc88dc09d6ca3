"""What the gateway and the workers must agree on, and nothing else.

settings  what the environment decides           specs     what a model declares
keys      how every Redis key is spelled         messages  what crosses the online lane
columns   rows as columns, on the wire           tables    rows as Arrow, in a job
ledger/   the only writer of a job               payloads  where a job's bytes lie
errors    one tree, crossing the queue unchanged  memory    how the programs give it back
"""
