"""Metrics of past periods, recomputed from the archive with the statements of ``sql/``."""
