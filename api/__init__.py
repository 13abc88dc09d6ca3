"""The gateway: HTTP on one side, Redis on the other. It loads no model and imports no ML framework.

From top to bottom; a package imports only packages below it:

app, program       the application, and the program that serves it
server             connections, timeouts, shutdown, the fast path; the only users of uvicorn's private API
routes             HTTP endpoints: predict, jobs, models, operations, metrics, console, OpenAPI
gateway            the composition root: creates every part below
jobs               submissions, uploads, progress and waiting, without HTTP
online             admission, dispatch of predictions to workers, replies
models             catalog, request validation, rendering of results
access, fleet      API keys, permissions, quotas; live workers, queue status, scaling
http, telemetry    bodies, headers, error responses; counters, stage times, traces
processes          several gateway processes on one port
"""

from shared import use_system_allocator

use_system_allocator()
