"""Runs: statements are delivered with one retry policy, and plans are executed step by step."""
