"""Who may do what here.

endpoints      the table of every endpoint and what it asks of a key: the only place where that stands
gate           a request's headers → its principal, by the keys that are good now; no Redis on the way
links          addresses that bear their own permission for a minute, for browsers that save files
gatekeeper     asks the gate for every request but predictions, which ask it themselves
"""
