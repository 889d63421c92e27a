"""Runs statements that users type: one from the command line, many from a file, or a session on a terminal."""
