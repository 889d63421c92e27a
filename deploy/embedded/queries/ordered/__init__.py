"""Queries that read several sources, or the changes of a table: their records are put into one order first.

Of what has arrived, the record with the least timestamp goes first, then that of the earlier source in FROM and JOIN.
The records of a partition keep their order, as in Kafka Streams. So the result depends on the order of arrival only,
and not on how many records a step takes.

:mod:`.queue` orders the records, a module for each kind of join moves them on, and :mod:`.moving` drives them.
"""
