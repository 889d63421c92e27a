"""The archive's upkeep: checks for defects, and compaction of many small files into few large ones."""
