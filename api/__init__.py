"""The gateway: HTTP on one side, Redis on the other. It loads no model and imports no ML framework.

main, gateway    the application, and the parts that its routes share
web              connections, heads and bodies, errors as answers, headers, traces of requests
access           who may do what, and how often
models           what is served, and how its requests are read: JSON → rows, by the model's spec
online           /predict and its kin: who may enter, one writer, one reader, who waits for which answer
jobs, uploads    /jobs, through the ledger; files that are read as a stream
fleet            who works, what waits and what was done lately, as this gateway knows it
operations       health, workers, lanes, scaling, the last hour
metrics          what Prometheus scrapes
console          the page that operators keep open
"""

from shared import use_system_allocator

use_system_allocator()
