"""OpenSea's events on their way into a topic: envelope, archive files, replay, samples."""
