"""Persistent queries and the queries of clients: rows of topics become rows of streams and windows."""
