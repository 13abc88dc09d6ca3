"""Several gateway processes on one port (`TAKT_GATEWAYS`): the parent that starts them.

    parent ─┬─ process 0    listens on socket 0 ┐
            ├─ process 1    listens on socket 1 ├ one address; SO_REUSEPORT spreads new connections
            └─ process 2    listens on socket 2 ┘

The parent imports neither the application nor a web framework, and accepts no connection. It keeps every
listening socket open. Closing the last copy of a listening socket resets the connections in its queue. While
the parent holds the socket, a restart, a crash or a stop of a process resets none of them: if a process has
ended, another accepts from its socket until a new process does.

process_arguments   the arguments of a process: its slot and its sockets
listeners           the listening sockets
gateway_process     a process, as its parent sees it
parent_process      starts, restarts and stops the processes
siblings            collects the metrics of all processes
"""
