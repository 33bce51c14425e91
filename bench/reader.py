"""The peer of the floor: `python -m bench.reader ADDRESS` reads what comes and does nothing with it, until killed."""

from __future__ import annotations

import sys

import zmq


def main(address: str) -> None:
    """Bind, say so, and read."""
    with zmq.Context() as context, context.socket(zmq.PULL) as reader:
        reader.bind(address)
        print("ready", flush=True)
        while True:
            reader.recv()


if __name__ == "__main__":
    main(sys.argv[1])
