"""Plans as frozen data: pure functions of the files, the record and the server."""
