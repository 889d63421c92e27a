"""The migration tool: files + recorded state + server → plan → execution.

``plan`` and ``rollback`` are pure and make plans as plain data; ``execute`` carries them out;
``store`` keeps the record in ksqlDB itself; ``server`` is what is seen of the server.
"""
