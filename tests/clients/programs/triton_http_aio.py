"""tritonclient over HTTP, asynchronous: several requests at a time."""

import asyncio

import tritonclient.http.aio as triton
from cases import array_of, plain, read_cases, report

case = read_cases()
headers = case["headers"]


async def infer(client, model, rows):
    metadata = await client.get_model_metadata(model, headers=dict(headers))
    tensors = []
    for each in metadata["inputs"]:
        values = [row.get(each["name"]) for row in rows]
        if all(value is None for value in values):
            continue
        array = array_of(values, each["datatype"], each["shape"])
        tensors.append(
            triton.InferInput(each["name"], array.shape, each["datatype"]).set_data_from_numpy(array)
        )
    answer = await client.infer(model, tensors, headers=dict(headers))
    return {each["name"]: plain(answer.as_numpy(each["name"])) for each in metadata["outputs"]}


async def main():
    async with triton.InferenceServerClient(case["address"]) as client:
        assert await client.is_server_ready(headers)
        models = case["models"].items()
        answers = await asyncio.gather(*(infer(client, model, rows) for model, rows in models))
        report(
            {
                "answers": {
                    model: {"binary": found} for model, found in zip(case["models"], answers, strict=True)
                }
            }
        )


asyncio.run(main())
