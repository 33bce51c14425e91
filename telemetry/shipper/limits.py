"""The most that a shipper's sockets hold, so that nobody fills its memory."""

MAX_MESSAGE_BYTES = 1 << 20
"""Four frames: what is larger is no frame, and not worth its memory. ZeroMQ cuts such a peer off."""

RECEIVE_FRAMES = 16
"""For each producer: full frames of 4 MiB are the most that piles up here while the disk stalls. What this does not
hold waits on the producer's side, within its `queue_bytes`, and is dropped and counted there."""
