"""Writes OpenSea's events into a topic: envelope, archive files, replay, samples."""
