"""An MES that submits an order exactly once, although answers may be lost. Standard library only.

python examples/mes_retry_loop.py http://localhost:8000 order-4711

The order number is the `Idempotency-Key`: a repeated submission finds the same job. Run it twice: the
results are equal, and only one job exists.
"""

import json
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

TRIES = 20
LATER = (409, 429, 503)
"""Statuses that ask for another try; a 409 only with `idempotency_in_progress`."""


def main(takt: str, order: str) -> None:
    rows = {"model": "iris", "reference": order, "inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}
    headers = {"Content-Type": "application/json", "Idempotency-Key": order}
    job = call(Request(f"{takt}/jobs", data=json.dumps(rows).encode(), headers=headers))
    while job["state"] not in ("succeeded", "failed", "canceled"):
        time.sleep(1)
        job = call(Request(f"{takt}/jobs/{job['id']}"))
    if job["state"] != "succeeded":
        sys.exit(f"{order}: {job['state']}: {job['error']}")
    for row in call(Request(f"{takt}/jobs/{job['id']}/results"))["results"]:
        print(row["prediction"])


def call(request: Request) -> dict:
    """The JSON answer. Retries if the connection fails or the service asks for it."""
    for attempt in range(1, TRIES + 1):
        try:
            with urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except HTTPError as error:
            problem = json.load(error)
            in_progress = error.code != 409 or problem["error"] == "idempotency_in_progress"
            if error.code not in LATER or not in_progress or attempt == TRIES:
                sys.exit(f"{problem['error']}: {problem['detail']}")
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except (URLError, TimeoutError) as error:
            if attempt == TRIES:
                sys.exit(f"no answer: {error}")
            time.sleep(1)
    raise AssertionError("the last attempt returns or exits")


if __name__ == "__main__":
    main(*sys.argv[1:])
