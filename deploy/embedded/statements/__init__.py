"""Statements: runs them, records them, and describes what they have created."""
