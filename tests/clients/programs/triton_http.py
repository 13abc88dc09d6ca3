"""tritonclient over HTTP, synchronous: metadata, then inference in binary and in JSON, compressed and not.

The client adds its own headers to the dictionary that it is given, so that each call needs a new dictionary.
"""

import tritonclient.http as triton
from cases import array_of, plain, read_cases, report
from tritonclient.utils import InferenceServerException

case = read_cases()
headers = case["headers"]
client = triton.InferenceServerClient(case["address"])
found = {
    "live": client.is_server_live(headers),
    "ready": client.is_server_ready(headers),
    "server": client.get_server_metadata(headers),
    "index": client.get_model_repository_index(headers),
    "answers": {},
    "errors": {},
}


def inputs_of(model, rows, binary):
    tensors = []
    for each in client.get_model_metadata(model, headers=dict(headers))["inputs"]:
        values = [row.get(each["name"]) for row in rows]
        if all(value is None for value in values):
            continue
        array = array_of(values, each["datatype"], each["shape"])
        tensor = triton.InferInput(each["name"], array.shape, each["datatype"])
        tensors.append(tensor.set_data_from_numpy(array, binary_data=binary))
    return tensors


for model, rows in case["models"].items():
    assert client.is_model_ready(model, headers=dict(headers))
    assert client.get_model_config(model, headers=dict(headers))["max_batch_size"] > 0
    names = [each["name"] for each in client.get_model_metadata(model, headers=dict(headers))["outputs"]]
    forms = {}
    for form, binary, compression in (
        ("binary", True, None),
        ("json", False, None),
        ("gzip", True, "gzip"),
        ("deflate", True, "deflate"),
    ):
        if form == "json" and model in case["binary_only"]:
            continue
        answer = client.infer(
            model,
            inputs_of(model, rows, binary),
            request_id=f"{model}-{form}",
            outputs=[triton.InferRequestedOutput(name, binary_data=binary) for name in names],
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
            headers=dict(headers),
        )
        assert answer.get_response()["id"] == f"{model}-{form}"
        forms[form] = {name: plain(answer.as_numpy(name)) for name in names}
    unasked = client.infer(model, inputs_of(model, rows, True), headers=dict(headers))
    forms["unasked"] = {name: plain(unasked.as_numpy(name)) for name in names}
    found["answers"][model] = forms
    statistics = client.get_inference_statistics(model, headers=dict(headers))["model_stats"]
    assert statistics[0]["inference_stats"]["success"]["count"] >= len(forms)

pending = [
    client.async_infer("iris", inputs_of("iris", case["models"]["iris"], True), headers=dict(headers))
    for _ in "123"
]
found["async"] = [plain(one.get_result().as_numpy("prediction")) for one in pending]

client.unload_model("sensor", headers=dict(headers))
found["unloaded"] = not client.is_model_ready("sensor", headers=dict(headers))
client.load_model("sensor", headers=dict(headers))
found["loaded"] = client.is_model_ready("sensor", headers=dict(headers))

for name, call in {
    "model": lambda: client.infer(
        "nope", inputs_of("iris", case["models"]["iris"], True), headers=dict(headers)
    ),
    "range": lambda: client.infer(
        "iris",
        inputs_of("iris", [dict(case["models"]["iris"][0], petal_width=99.0)], True),
        headers=dict(headers),
    ),
    "load": lambda: client.load_model("iris", headers=dict(headers), config="{}"),
    "output": lambda: client.infer(
        "iris",
        inputs_of("iris", case["models"]["iris"], True),
        outputs=[triton.InferRequestedOutput("x")],
        headers=dict(headers),
    ),
}.items():
    try:
        call()
    except InferenceServerException as error:
        found["errors"][name] = [error.status(), error.message()]

scores = client.infer(
    "quality",
    inputs_of("quality", case["models"]["quality"], True),
    outputs=[triton.InferRequestedOutput("probabilities", class_count=1)],
    headers=dict(headers),
)
found["classification"] = plain(scores.as_numpy("probabilities"))
report(found)
