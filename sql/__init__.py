"""The product's SQL, and the reader of its language (ksqlDB's dialect).

The pipeline is pure: template text → rendered text → statements (AST) → catalog.
Nothing in this package connects to a server or a database.
"""
