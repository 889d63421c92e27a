"""A project's files → rendered text."""
