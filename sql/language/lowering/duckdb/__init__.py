"""Expressions and SELECTs in DuckDB's SQL."""
