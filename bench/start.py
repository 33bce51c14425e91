"""What does a program pay besides its events? CPU of `init` and `close` in an interpreter that has loaded nothing else.

The floor is what no library on this transport can go below: `import zmq, msgspec`.
"""

from __future__ import annotations

import sys
from time import process_time

FLOOR = "floor: import zmq, msgspec"


def floor() -> dict[str, tuple[float, str]]:
    """CPU of what `init` has to load."""
    started = process_time()
    import msgspec  # noqa: F401, PLC0415 what is measured
    import zmq  # noqa: F401, PLC0415 the same

    return {"CPU": (_ms_since(started), "ms")}


def start(endpoint: str, catalog: str) -> dict[str, tuple[float, str]]:
    """CPU of a client's beginning, a shipper spawned, and of its end when all is confirmed."""
    started = process_time()
    import telemetry  # noqa: PLC0415 what is measured

    import_ms, started = _ms_since(started), process_time()
    telemetry.init(product="bench", catalog=catalog, endpoint=endpoint, consent="on")
    init_ms = _ms_since(started)
    telemetry.emit("query_finished", duration_ms=12.5)
    telemetry.flush(60)
    started = process_time()
    telemetry.close(10)
    return {
        "CPU of import telemetry": (import_ms, "ms"),
        "CPU of init": (init_ms, "ms"),
        "CPU of close": (_ms_since(started), "ms"),
    }


def _ms_since(started: float) -> float:
    return (process_time() - started) * 1e3


if __name__ == "__main__":
    figures = floor() if sys.argv[1] == FLOOR else start(sys.argv[2], sys.argv[3])
    import json

    print(json.dumps(figures))
