"""Everything that runs the server side for a person: `takt up`, `takt models`, `takt workers`, `takt doctor`.

It starts the gateway, the workers and the queue as programs of their own and never loads any of them.
"""
