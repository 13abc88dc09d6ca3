"""KServe's gRPC client, which sends typed contents unless it is told otherwise."""

import asyncio

from cases import array_of, plain, read_cases, report
from kserve import InferenceGRPCClient, InferInput, InferRequest

case = read_cases()


async def main():
    client = InferenceGRPCClient(url=case["grpc"])
    headers = list(case["headers"].items())
    found = {"live": await client.is_server_live(headers=headers), "answers": {}}
    for model, rows in case["models"].items():
        forms = {}
        for form, raw in (("raw", True), ("typed", False)):
            if form == "typed" and model in case["binary_only"]:
                continue
            tensors = []
            for each in case["metadata"][model]["inputs"]:
                values = [row.get(each["name"]) for row in rows]
                if all(value is None for value in values):
                    continue
                array = array_of(values, each["datatype"], each["shape"])
                tensor = InferInput(each["name"], list(array.shape), each["datatype"])
                tensor.set_data_from_numpy(array, binary_data=raw)
                tensors.append(tensor)
            answer = await client.infer(InferRequest(model, tensors, request_id="k"), headers=headers)
            assert answer.id == "k"
            forms[form] = {output.name: plain(output.as_numpy()) for output in answer.outputs}
        found["answers"][model] = forms
    await client.close()
    report(found)


asyncio.run(main())
