"""The archive's upkeep: what is wrong with it, and many small files made into few large ones."""
