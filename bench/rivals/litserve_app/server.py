"""A LitServe API for the model; a batch is the list of its requests.

There are no annotations, because LitServe and FastAPI build a validator from them, which costs time.
"""

import sys
from pathlib import Path

import litserve

from bench.served_model import load


class Model(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002 - LitServe's own signature
        self._served = load(Path("model.json"))

    def decode_request(self, request):
        return request

    def batch(self, inputs):
        return inputs

    def predict(self, x):
        return self._served.answer(x)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = Model(max_batch_size=64, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
