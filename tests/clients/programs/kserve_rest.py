"""KServe's REST client: health, then inference in binary and in JSON."""

import asyncio

from cases import array_of, plain, read_cases, report
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

case = read_cases()
base, headers = f"http://{case['address']}", case["headers"]


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    found = {
        "live": await client.is_server_live(base, headers),
        "ready": await client.is_server_ready(base, headers),
        "answers": {},
    }
    for model, rows in case["models"].items():
        assert await client.is_model_ready(base, model, headers)
        metadata = case["metadata"][model]
        forms = {}
        for form, binary in (("binary", True), ("json", False)):
            if form == "json" and model in case["binary_only"]:
                continue
            tensors = []
            for each in metadata["inputs"]:
                values = [row.get(each["name"]) for row in rows]
                if all(value is None for value in values):
                    continue
                array = array_of(values, each["datatype"], each["shape"])
                tensor = InferInput(each["name"], list(array.shape), each["datatype"])
                tensor.set_data_from_numpy(array, binary_data=binary)
                tensors.append(tensor)
            outputs = [RequestedOutput(each["name"], {"binary_data": binary}) for each in metadata["outputs"]]
            request = InferRequest(model, tensors, request_id="k", request_outputs=outputs)
            answer = await client.infer(base, request, model_name=model, headers=headers)
            assert answer.id == "k"
            forms[form] = {output.name: plain(output.as_numpy()) for output in answer.outputs}
        found["answers"][model] = forms
    try:
        request = InferRequest("nope", [InferInput("x", [1, 1], "FP64", data=[1.0])])
        await client.infer(base, request, model_name="nope", headers=headers)
    except Exception as error:
        found["errors"] = {"model": ["404", str(error)]}
    report(found)


asyncio.run(main())
