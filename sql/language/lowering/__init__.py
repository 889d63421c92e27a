"""From resolved ksqlDB expressions to the SQL of an engine.

What cannot be given exactly as ksqlDB gives it is refused by name (:class:`core.errors.SqlError`),
never approximated in silence.
"""
