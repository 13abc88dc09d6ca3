"""tritonclient over gRPC: synchronous, with callbacks, as a stream, and with asyncio."""

import asyncio
import queue

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from cases import array_of, plain, read_cases, report
from tritonclient.utils import InferenceServerException

case = read_cases()
headers = case["headers"]
client = triton.InferenceServerClient(case["grpc"])
found = {
    "live": client.is_server_live(headers),
    "ready": client.is_server_ready(headers),
    "server": client.get_server_metadata(headers, as_json=True),
    "answers": {},
    "errors": {},
}


def inputs_of(metadata, rows):
    tensors = []
    for each in metadata["inputs"]:
        values = [row.get(each["name"]) for row in rows]
        if all(value is None for value in values):
            continue
        array = array_of(values, each["datatype"], [int(length) for length in each["shape"]])
        tensor = triton.InferInput(each["name"], array.shape, each["datatype"])
        tensors.append(tensor.set_data_from_numpy(array))
    return tensors


described = {
    model: client.get_model_metadata(model, headers=headers, as_json=True) for model in case["models"]
}
for model, rows in case["models"].items():
    assert client.is_model_ready(model, headers=headers)
    assert client.get_model_config(model, headers=headers).config.max_batch_size > 0
    names = [each["name"] for each in described[model]["outputs"]]
    forms = {}
    for compression in (None, "gzip"):
        answer = client.infer(
            model,
            inputs_of(described[model], rows),
            request_id=model,
            client_timeout=30,
            compression_algorithm=compression,
            headers=headers,
        )
        assert answer.get_response().id == model
        forms[str(compression)] = {name: plain(answer.as_numpy(name)) for name in names}
    found["answers"][model] = forms
    statistics = client.get_inference_statistics(model, headers=headers)
    assert statistics.model_stats[0].inference_stats.success.count >= len(forms)

rows = case["models"]["iris"]
answered = queue.Queue()


def put(result, error):
    answered.put(error or plain(result.as_numpy("prediction")))


client.async_infer("iris", inputs_of(described["iris"], rows), put, headers=headers)
found["callback"] = answered.get(timeout=60)
client.start_stream(put, headers=headers)
for _ in range(3):
    client.async_stream_infer("iris", inputs_of(described["iris"], rows))
found["stream"] = [answered.get(timeout=60) for _ in range(3)]
client.stop_stream()

for name, call in {
    "model": lambda: client.infer("nope", inputs_of(described["iris"], rows), headers=headers),
    "range": lambda: client.infer(
        "iris", inputs_of(described["iris"], [dict(rows[0], petal_width=99.0)]), headers=headers
    ),
    "load": lambda: client.load_model("iris", headers=headers, config="{}"),
}.items():
    try:
        call()
    except InferenceServerException as error:
        found["errors"][name] = [error.status(), error.message()]
client.unload_model("sensor", headers=headers)
found["unloaded"] = not client.is_model_ready("sensor", headers=headers)
client.load_model("sensor", headers=headers)
found["loaded"] = client.is_model_ready("sensor", headers=headers)


async def with_asyncio():
    async with triton_aio.InferenceServerClient(case["grpc"]) as waiting:
        calls = [waiting.infer("iris", inputs_of(described["iris"], rows), headers=headers) for _ in range(3)]
        return [plain(answer.as_numpy("prediction")) for answer in await asyncio.gather(*calls)]


found["asyncio"] = asyncio.run(with_asyncio())
report(found)
