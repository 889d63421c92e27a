"""Converts JSON and SQL values to values of ksqlDB's types."""
