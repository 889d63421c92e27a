"""Turns text into statements."""
