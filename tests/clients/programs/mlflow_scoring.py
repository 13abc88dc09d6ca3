"""MLflow's scoring client, and `requests` with the bodies that MLflow makes."""

import pandas as pd
import requests
from cases import read_cases, report
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from mlflow.utils.proto_json_utils import dump_input_data

case = read_cases()
host, port = case["address"].split(":")
client = ScoringServerClient(host, int(port))
client.wait_server_ready()
frame = pd.DataFrame(case["models"]["iris"])
found = {
    "version": client.get_version(),
    "default": [
        client.invoke(frame).get_predictions().to_dict("records"),
        client.invoke(frame.to_numpy()).get_predictions().to_dict("records"),
        client.invoke(frame.to_numpy().tolist()).get_predictions().to_dict("records"),
    ],
    "answers": {},
}


def rows_of(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


for model, rows in case["models"].items():
    if model in case["binary_only"]:
        continue
    url = f"http://{case['address']}/models/{model}/invocations"
    table = pd.DataFrame(rows)
    kind = {"Content-Type": "application/json"}
    forms = {"split": rows_of(requests.post(url, data=dump_input_data(table), headers=kind, timeout=60))}
    forms["records"] = rows_of(requests.post(url, json={"dataframe_records": rows}, timeout=60))
    if model != "classifier":
        csv = table.to_csv(index=False)
        forms["csv"] = rows_of(requests.post(url, data=csv, headers={"Content-Type": "text/csv"}, timeout=60))
    found["answers"][model] = forms

try:
    client.invoke(frame.assign(petal_width=99.0))
except Exception as error:
    found["error"] = str(error)
report(found)
