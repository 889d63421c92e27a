"""Values of JSON and of SQL as values of ksqlDB's types."""
