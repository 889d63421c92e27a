"""ksqlDB's language: text → AST → catalog → the SQL of an engine. Pure functions over frozen values."""
