"""The functions that are shipped. Each module has one topic."""
