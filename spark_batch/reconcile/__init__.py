"""``reconcile``: streamed windows beside the same windows recomputed from the archive.

``compare`` finds what differs, ``variants`` recomputes from changed copies of the archive, ``causes``
tells from them why it differs, ``run`` goes through a period.
"""
