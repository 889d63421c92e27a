"""Turns JSON records into typed rows."""
