"""The records of an archive for Spark. Spark itself reads compacted files, and our own code reads texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from opensea_metrics.core.quoting import spark_column
from opensea_metrics.core.types import STRING
from opensea_metrics.producer.archive.compacted import damage, has_fields, schema
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.layout import ArchiveFile
from opensea_metrics.spark_batch.job import BatchJob
from opensea_metrics.spark_batch.spark_source import compacted_rows, damaged_files, text_rows
from opensea_metrics.sql.language.catalog.sources import Source

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HIDDEN = ("ROWTIME", "_off", "_failed")
"""Columns of all records beside those that a source declares."""


class SparkRecords:
    """The records of a job's files as SQL over views of a session."""

    def __init__(self, session: SparkSession, job: BatchJob) -> None:
        self._session = session
        self._job = job
        self.place = ("_hour", "_part") if job.pipeline.is_ordered else ()
        """Columns of a record that say where it is in the archive."""
        self._damaged = damaged_files(session)
        self._rows: list[ArchiveFile] = []
        """The compacted files that Spark itself reads."""
        self._by_texts: dict[str, Damage] = {}
        """The compacted files that are damaged. Their texts are read instead."""

    @property
    def damaged(self) -> Mapping[str, Damage]:
        """The files that could not be read to their end. Complete after all records were read."""
        damaged: dict[str, Damage] = self._damaged.value
        return self._by_texts | damaged

    def of(self, source: Source) -> str:
        """The records as a source declares them: its columns, ROWTIME, ``_off``, ``_failed``."""
        leaves = self._job.pipeline.leaves()
        texts: list[ArchiveFile] = []
        self._rows = []
        for file in self._job.files:
            is_of_rows = source.timestamp_type != STRING and self._is_of_rows(file, source, leaves)
            (self._rows if is_of_rows else texts).append(file)
        parts = []
        if self._rows:
            addresses = list(map(self._address, self._rows))
            parts.append(compacted_rows(self._session, addresses, source))
        if texts or not parts:
            parts.append(text_rows(self._session, self._job.source, texts, source, self._damaged, bool(self.place)))
        hidden = [*HIDDEN, *self.place]
        columns = ", ".join([*(spark_column(c.name) for c in source.columns if not c.is_key), *hidden])
        return " UNION ALL ".join(f"SELECT {columns} FROM ({part})" for part in parts)

    def leave_out_damaged(self) -> bool:
        """Look for damaged compacted files, whose texts are then read instead. Returns whether there are any."""
        for file in self._rows:
            if reason := damage(self._job.source, file):
                read = (file.end or file.start) - file.start
                self._by_texts[file.path] = Damage(f"{reason}; the texts in it were read instead", read)
        return bool(self._by_texts)

    def _is_of_rows(self, file: ArchiveFile, source: Source, leaves: Collection[str]) -> bool:
        """Whether Spark itself can read the needed fields of a file, and need not know a record's place."""
        if file.form != "parquet" or file.path in self._by_texts or self.place:
            return False
        columns = schema(self._job.source, file, [source])
        return columns is not None and has_fields(columns, leaves)

    def _address(self, file: ArchiveFile) -> str:
        return file.path if self._job.source.s3 is None else f"s3a://{file.path}"
