"""The gateway: HTTP on one side, Redis on the other. It loads no model and imports no ML framework.

main         the application, made of its parts       predictions  /predict and its kin, the hot route
envelope     request ids, and errors as answers       validation   JSON → rows, by the model's spec
online       the online lane: one writer, one reader  pending      who waits for which answer
fleet        what the live workers hold               admission    whether a request may enter
jobs         /jobs, through the ledger                doorbell     rings Celery, from a thread of its own
door         who may enter, and what a refusal costs  protocol     connections: their limits, and refusals
openapi      each model's own schema and examples     errors       code → status, the only such table
"""

from shared.memory import give_memory_back

give_memory_back()
