"""Starts Ray Serve with the deployment that answers requests; ends on a signal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.rivals.ray_app.online import Model
from bench.rivals.ray_app.running import serve_until_told


def main(words: Sequence[str]) -> int:
    serve_until_told(Model.bind, int(words[0]), path="/predict")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
