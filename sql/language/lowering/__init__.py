"""Writes resolved ksqlDB expressions in an engine's SQL.

If an engine cannot compute exactly what ksqlDB computes, the feature is refused by name
(:class:`core.errors.SqlError`). It is never silently approximated.
"""
