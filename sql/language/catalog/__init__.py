"""Streams, tables and queries, and what each statement adds to them."""
