"""The command line, the migration tool, the ksqlDB client and the embedded server."""
