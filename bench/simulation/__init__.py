"""Simulation of a stack: the real policies on a virtual clock, for more workers than the machine has cores.

    clients ─▶ gateways ─▶ queue ─▶ workers        their times: `Costs`, measured at a single worker
                  │          │         │
          api.online.admission_policy      │   worker.online.consumer, .batching; worker.execution
                       the ledger's claims (its scripts, on a separate server)

Takt's own code makes all decisions. Times are fixed costs of each request, batch and row, not random.
`python -m bench.simulation` compares the outcome with a running stack.
"""
