"""The migration tool, in three rooms.

``record`` holds what was applied, on the server itself. ``plan`` compares files, record and server, and
says as plain data what is to be done. ``run`` executes a plan. Sentences for people are in ``deploy/output``.
"""
