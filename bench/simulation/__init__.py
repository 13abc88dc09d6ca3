"""A stack on paper: the real policies on a virtual clock, for more workers than there are cores.

    clients ─▶ gateways ─▶ queue ─▶ workers        their times: `Costs`, measured at one worker
                  │          │         │
          api.online.admission      │   worker.online.consumer, .batches, .turns, .rates
                       the ledger's claims (its scripts, on a server of its own)

What decides is Takt's own code; what takes time is drawn from no distribution, but is a fixed cost for each
request, batch and row. `python -m bench.simulation` holds the outcome to a running stack.
"""
