"""Limits on what a shipper's sockets hold, so that nobody can fill its memory."""

MAX_MESSAGE_BYTES = 1 << 20
"""The size of four frames: a larger message is none, and not worth its memory. ZeroMQ cuts such a peer off."""

RECEIVE_FRAMES = 16
"""The limit of each producer: at most 4 MiB of full frames pile up here while the disk stalls. Frames beyond it wait on
the producer's side, within its `queue_bytes`, and are dropped and counted there."""
