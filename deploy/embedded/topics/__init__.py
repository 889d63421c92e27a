"""Topics of a data directory: records in files, in a table, and rows that queries have written."""
