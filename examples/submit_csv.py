"""Submit a CSV file as a job, poll until it has ended, save the results. Standard library only.

python examples/submit_csv.py http://localhost:8000 flowers.csv results.csv
"""

import json
import shutil
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

ENDED = ("succeeded", "failed", "canceled")


def main(takt: str, file: str, out: str, model: str = "iris") -> None:
    body = Path(file).read_bytes()
    submission = Request(f"{takt}/jobs?model={model}", data=body, headers={"Content-Type": "text/csv"})
    job = answer_of(submission)
    while job["state"] not in ENDED:
        time.sleep(job.get("retry_after_s", 1))
        job = answer_of(Request(f"{takt}/jobs/{job['id']}"))
    if job["state"] != "succeeded":
        sys.exit(f"job {job['id']} has {job['state']}: {job['error']}")
    with urlopen(f"{takt}/jobs/{job['id']}/results?format=csv", timeout=60) as results:
        with Path(out).open("wb") as saved:
            shutil.copyfileobj(results, saved)
    print(f"{job['id']}: {job['rows_succeeded']} of {job['rows_total']} rows succeeded")


def answer_of(request: Request) -> dict:
    """The JSON answer, with the seconds of `Retry-After`."""
    with urlopen(request, timeout=60) as answer:
        return json.load(answer) | {"retry_after_s": float(answer.headers.get("Retry-After", 1))}


if __name__ == "__main__":
    main(*sys.argv[1:])
