"""Python functions callable from the SQL."""
