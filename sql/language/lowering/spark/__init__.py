"""Expressions and SELECTs in Spark's SQL."""
