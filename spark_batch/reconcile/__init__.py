"""``reconcile``: streamed windows beside the same windows recomputed from the archive.

``compare`` finds rows that differ. ``causes`` finds out why, by recomputing from changed copies of the archive, which
``copies`` writes. ``run`` compares all windows of a period.
"""
