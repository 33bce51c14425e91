"""Batches in a stream of NATS JetStream, for collectors beyond one machine: any number write, loaders read.

A batch is a message: its body as it came, what is to be said of it as headers, its id as `Nats-Msg-Id`. A hash of the
id chooses the partition, which is the last token of the subject.
"""
