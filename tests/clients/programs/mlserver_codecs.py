"""MLServer's codecs as a client, with `requests`: a DataFrame, and a matrix of all inputs."""

import numpy as np
import pandas as pd
import requests
from cases import plain, read_cases, report
from mlserver.codecs import NumpyRequestCodec, PandasCodec
from mlserver.types import InferenceResponse, MetadataModelResponse, MetadataServerResponse

case = read_cases()
base = f"http://{case['address']}/v2"


def infer(model, request):
    answer = requests.post(
        f"{base}/models/{model}/infer",
        data=request.model_dump_json(),
        headers={"Content-Type": "application/json", **case["headers"]},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return InferenceResponse.model_validate_json(answer.text)


def columns(response):
    return {
        output.name: plain(np.array(list(output.data), dtype=object).reshape(output.shape))
        for output in response.outputs
    }


MetadataServerResponse.model_validate_json(requests.get(base, headers=case["headers"], timeout=60).text)
found = {"answers": {}}
for model, rows in case["models"].items():
    if model in case["binary_only"]:
        continue
    described = requests.get(f"{base}/models/{model}", headers=case["headers"], timeout=60).text
    MetadataModelResponse.model_validate_json(described)
    forms = {}
    if model == "classifier":
        matrix = np.array([row["features"] for row in rows], dtype=np.float32)
        forms["numpy"] = columns(infer(model, NumpyRequestCodec.encode_request(matrix)))
    else:
        frame = pd.DataFrame([{k: v for k, v in row.items() if v is not None} for row in rows])
        forms["pandas"] = columns(infer(model, PandasCodec.encode_request(frame, use_bytes=False)))
    if model == "iris":
        matrix = pd.DataFrame(rows).to_numpy()
        forms["numpy"] = columns(infer(model, NumpyRequestCodec.encode_request(matrix)))
    found["answers"][model] = forms
report(found)
