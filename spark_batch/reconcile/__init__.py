"""``reconcile``: compares streamed windows with the same windows recomputed from the archive.

``compare`` finds rows that differ. ``causes`` finds out why: it recomputes them from changed copies of the archive,
which ``copies`` writes. ``run`` compares all windows of a period.
"""
