"""The functions that are shipped; each module is one idea."""
