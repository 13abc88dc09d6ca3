"""Predict the rows of a DataFrame as a job, and join the results. Needs `pip install './client[tables]'`.

python examples/sdk_pandas.py http://localhost:8000
"""

import sys

import pandas as pd

from takt import Takt

MEASURED = pd.DataFrame(
    {
        "flower": ["A-1", "A-2", "A-3"],
        "sepal_length": [5.1, 6.7, 5.8],
        "sepal_width": [3.5, 3.0, 2.7],
        "petal_length": [1.4, 5.2, 4.1],
        "petal_width": [0.2, 2.3, 1.0],
    }
)


def main(url: str) -> None:
    with Takt(url) as takt:
        job = takt.submit(MEASURED, model="iris", id_column="flower")
        takt.wait(job.id)
        results = takt.results_frame(job.id)
    print(
        MEASURED.merge(results, on="flower")[["flower", "petal_length", "prediction"]].to_string(index=False)
    )


if __name__ == "__main__":
    main(sys.argv[1])
