"""Formats plain data for people and programs. Results go to stdout, progress to stderr."""
