"""The functions of this package. Each module has one topic."""
