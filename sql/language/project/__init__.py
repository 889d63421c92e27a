"""Turns a project's files into rendered text."""
