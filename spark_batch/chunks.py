"""An archive's records a chunk at a time, as relations of DuckDB."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from opensea_metrics.core.database import Setting, scratch_database
from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.layout import ArchiveFile
from opensea_metrics.spark_batch import compacted
from opensea_metrics.spark_batch.ahead import ahead
from opensea_metrics.spark_batch.archive.legacy import stamped_sql
from opensea_metrics.spark_batch.compacted import Compacted
from opensea_metrics.spark_batch.damage import Damage
from opensea_metrics.spark_batch.groups import in_groups
from opensea_metrics.spark_batch.source import Source as Archive
from opensea_metrics.spark_batch.source import SourceError
from opensea_metrics.spark_batch.texts import Texts, TextStream
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb import python
from opensea_metrics.sql.language.lowering.duckdb.macros import SETUP
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import capitals
from opensea_metrics.sql.language.lowering.times import event_time

Item = TypeVar("Item")

_ROWS = 400_000
"""Records in a chunk, about: so many that to plan its statements takes no time, so few that what is
kept of them stays in memory."""


class Chunk(ABC):
    """Some records of an archive. ``_off`` are their offsets: a key's records are in one partition, where
    these tell which is the newer one, wherever it is filed."""

    @abstractmethod
    def relation(self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool) -> str:
        """The records as a source declares them: its columns, ROWTIME, ``_off``, ``_failed``; for one
        query.

        With ``all_json`` text that is no JSON fails the query (duckdb.InvalidInputException).
        """
        ...

    @abstractmethod
    def error(self) -> SourceError | None:
        """What is wrong with the archive, asked when a query has failed; None if that was not it."""
        ...

    @abstractmethod
    def leave_out_damaged(self) -> bool:
        """Asked when a query has failed: whether it is worth repeating, without damaged files."""
        ...

    @property
    @abstractmethod
    def damaged(self) -> Mapping[str, Damage]:
        """Files that could not be read to their end, once a query was run."""
        ...


@dataclass(frozen=True)
class TextChunk(Chunk):
    """Lines."""

    stream: TextStream

    def relation(self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool) -> str:
        names = records.spelled(source, self.stream.sample)
        database.register("chunk", self.stream.reader(capitals(names.capitalized)))
        line = (
            f"SELECT {stamped_sql('line')} AS line, NULL::VARCHAR AS path, NULL::VARCHAR AS key,"
            " NULL::BIGINT AS ts, _off, _odd FROM chunk"
        )
        odd = "_odd" if names.is_lower else None
        return records.decoded(line, source, names, odd, carried=("_off",), all_json=all_json)

    def error(self) -> SourceError | None:
        return self.stream.error

    def leave_out_damaged(self) -> bool:
        return False  # they end where their damage begins

    @property
    def damaged(self) -> Mapping[str, Damage]:
        return self.stream.damaged


@dataclass
class RowChunk(Chunk):
    """Compacted files of one schema, with all the fields that are needed: their records are decoded
    already. ``left_out``: those that turned out to be damaged."""

    files: list[Compacted]
    schema: pa.Schema
    left_out: list[Compacted] = field(default_factory=list)
    _damaged: dict[str, Damage] = field(default_factory=dict)

    def relation(self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool) -> str:
        names = {name.upper(): name for name in self.schema.names if name not in compacted.OWN}
        columns = [
            f"{quoted(names[column.name.upper()])} AS {column_of(column.name)}"
            for column in source.columns
            if column.name.upper() in names
        ]
        assert source.timestamp is not None
        time = event_time(source, quoted(names[source.timestamp.upper()]))
        rows = compacted.relation(self.files)
        if not self.files:
            database.register("chunk", self.schema.empty_table())
            rows = "chunk"
        return (
            f"SELECT {', '.join(columns)}, {time} AS ROWTIME, _offset AS _off, _failed FROM {rows}"
        )

    def error(self) -> SourceError | None:
        return None

    def leave_out_damaged(self) -> bool:
        found = list(compacted.unreadable(self.files))
        for each, reason in found:
            self.files.remove(each)
            self.left_out.append(each)
            self._damaged[each.file.path] = Damage(f"{reason}; it was read by its texts", _records(each))
        return bool(found)

    @property
    def damaged(self) -> Mapping[str, Damage]:
        return self._damaged


class Attempts:
    """Text is taken to be JSON. Where some is not, that costs more from then on. For any thread."""

    def __init__(self) -> None:
        self._all_json = True

    def at(self, chunk: Chunk, query: Callable[[bool], Item]) -> Item:
        """What a query over a chunk gives, which is told whether to take all text to be JSON.

        Raises SourceError if the archive is what it failed of.
        """
        try:
            return query(self._all_json)
        except duckdb.Error as raised:
            if error := chunk.error():
                raise error from raised
            if not chunk.leave_out_damaged():
                if not self._all_json or not isinstance(raised, duckdb.InvalidInputException):
                    raise
                self._all_json = False
        return self.at(chunk, query)


@contextmanager
def database(
    *,
    directories: Iterable[str] = (),
    settings: Mapping[str, Setting] | None = None,
    adjustable: Sequence[str] = (),
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database for the relations of chunks, and its folder (``core.database.scratch_database``)."""
    # What is kept lives for a chunk.
    own: dict[str, Setting] = {"preserve_insertion_order": False, "force_compression": "uncompressed"}
    with scratch_database(
        directories=directories, settings=own | dict(settings or {}), adjustable=adjustable, setup=SETUP
    ) as made:
        python.register(made[0])
        yield made


def read(
    archive: Archive,
    files: Sequence[ArchiveFile],
    streams: Sequence[Source],
    leaves: Collection[str],
    finished: Callable[[ArchiveFile], None],
    into: Path,
) -> Iterator[Chunk]:
    """The chunks of files, at least one; each is to be used before the next one is asked for.

    ``leaves`` are the fields that are needed of the records, and ``streams`` declare them; ``finished`` is told of
    each file that was read. Compacted files of a bucket are copied into the folder ``into``, as long as they are
    used. Raises SourceError.
    """
    if not files:
        yield from of_texts(Texts(archive, [], finished))
    with tempfile.TemporaryDirectory(dir=into) as folder:
        for is_text, group in groupby(files, lambda file: file.form != "parquet"):
            if is_text:
                yield from of_texts(Texts(archive, list(group), finished))
                continue
            found = ahead(partial(compacted.fetched, archive, file, streams, Path(folder)) for file in group)
            for each in _shared_out(found):
                schema = each[0].schema
                if schema is None or not compacted.has_fields(schema, leaves):
                    yield from of_texts(Texts(archive, [one.file for one in each], finished))
                    continue
                chunk = RowChunk(each.copy(), schema)
                yield chunk
                for one in each:
                    finished(one.file)
                    if archive.s3 is not None:
                        one.path.unlink()
                if left_out := [one.file for one in chunk.left_out]:
                    yield from of_texts(Texts(archive, left_out, lambda file: None))


def of_texts(texts: Texts, rows: int = _ROWS) -> Iterator[TextChunk]:
    """The chunks of texts, at least one, each of so many records, about."""
    while True:
        yield TextChunk(TextStream(texts, rows))
        if texts.is_read():
            return


def _shared_out(files: Iterable[Compacted]) -> Iterator[list[Compacted]]:
    """Compacted files in groups of a chunk's size, each of one schema."""
    for _, group in groupby(files, lambda each: each.schema):
        yield from in_groups(group, _records, _ROWS)


def _records(each: Compacted) -> int:
    return (each.file.end or each.file.start) - each.file.start
