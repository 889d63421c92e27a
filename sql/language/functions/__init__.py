"""The functions that SQL can call, and the types of their calls."""
