"""A host process with one peer: `python -m bench.peers.subject NAME PORT EVENTS`, in the peers' environment."""

from __future__ import annotations

import json
import logging
import os
import sys
from time import perf_counter

from bench.cost import cost
from bench.peers.libraries import PEERS

CHUNK_EVENTS = 2_000
"""Emitted between two flushes: less than their queues hold."""


def main(name: str, port: int, events: int) -> None:
    """Measure it; print the figures by metric, with units, as JSON."""
    logging.disable(logging.CRITICAL if PEERS[name][1] != "none" else logging.NOTSET)
    make, _ = PEERS[name]
    started = perf_counter()
    peer = make(port)
    init_ms = (perf_counter() - started) * 1e3
    figures = cost(peer.emit, peer.flush, events, CHUNK_EVENTS)
    print(json.dumps({**figures, "init": (init_ms, "ms")}), flush=True)
    sys.stdin.readline()  # the sink is asked what it got before this process ends, by whatever its exit may add
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
