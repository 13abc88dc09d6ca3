"""Receive the end of jobs, and verify the signature. Standard library only.

TAKT_WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py 9000

Start the gateway and the workers with the same secret and TAKT_WEBHOOK_ALLOW=127.0.0.0/8. Then submit a job
with "webhook_url": "http://127.0.0.1:9000/takt". Messages follow https://www.standardwebhooks.com.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
"""Older messages are refused, so that a recorded message cannot be sent again."""


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not signed(self.headers, body, os.environ["TAKT_WEBHOOK_SECRET"]):
            self.send_error(401)
            return
        self.send_response(204)
        self.end_headers()
        # A message may arrive twice: remember `webhook-id` and skip the ids that you have handled.
        message = json.loads(body)
        print(self.headers["webhook-id"], message["type"], message["data"]["id"], flush=True)

    def log_message(self, *_: object) -> None:
        """No access log."""


def signed(headers, body: bytes, secret: str) -> bool:
    """Whether one of the signatures is right and the message is recent."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed_text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed_text, hashlib.sha256)).decode()
    recent = abs(time.time() - int(headers["webhook-timestamp"])) < TOLERANCE_S
    signatures = [part.partition(",")[2] for part in headers["webhook-signature"].split()]
    return recent and any(hmac.compare_digest(expected, one) for one in signatures)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
