"""An archive's records in chunks, as relations of DuckDB."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb
import pyarrow as pa

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.quoting import quoted
from opensea_metrics.producer.archive import compacted
from opensea_metrics.producer.archive.compacted import Compacted
from opensea_metrics.producer.archive.damage import Damage
from opensea_metrics.producer.archive.errors import ArchiveError
from opensea_metrics.spark_batch.event_times import default_for, stamped_sql
from opensea_metrics.spark_batch.line_streams import LineStream
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.event_times import event_time
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import capitals

Item = TypeVar("Item")


class Chunk(ABC):
    """Some records of an archive, with their offsets in ``_off``.

    A key's records are in one partition. So their offsets say which one is newer, wherever they are filed.
    """

    @abstractmethod
    def relation(self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool) -> str:
        """The records as a source declares them: its columns, ROWTIME, ``_off``, ``_failed``.

        The relation is for one query. With ``all_json``, text that is not JSON fails the query
        (duckdb.InvalidInputException).
        """
        ...

    @abstractmethod
    def error(self) -> ArchiveError | None:
        """After a failed query: the error of the archive that caused it, or None."""
        ...

    @abstractmethod
    def leave_out_damaged(self) -> bool:
        """After a failed query: leave out damaged files. Returns whether there were any, so a repeat makes sense."""
        ...

    @property
    @abstractmethod
    def damaged(self) -> Mapping[str, Damage]:
        """The files that could not be read to their end. Complete after the query."""
        ...


@dataclass(frozen=True)
class TextChunk(Chunk):
    """Lines of text."""

    stream: LineStream

    def relation(self, database: duckdb.DuckDBPyConnection, source: Source, all_json: bool) -> str:
        names = records.spelled(source, self.stream.sample)
        database.register("chunk", self.stream.reader(capitals(names.capitalized)))
        default = None if self.stream.is_stamped else default_for(source, names)
        stamped = stamped_sql("line")
        line = (
            f"SELECT {f'CASE WHEN _odd THEN {stamped} ELSE line END' if default else stamped} AS line,"
            " NULL::VARCHAR AS path, NULL::VARCHAR AS key, NULL::BIGINT AS ts, _off, _odd, _timed FROM chunk"
        )
        odd = "_odd" if names.is_lower else None
        return records.decoded(line, source, names, odd, carried=("_off",), all_json=all_json, default=default)

    def error(self) -> ArchiveError | None:
        return self.stream.error

    def leave_out_damaged(self) -> bool:
        return False  # a damaged file ends where its damage begins, which does not fail the query

    @property
    def damaged(self) -> Mapping[str, Damage]:
        return self.stream.damaged


@dataclass
class RowChunk(Chunk):
    """Compacted files of one schema with all the needed fields, so their records are decoded already.

    ``left_out`` are the files that are damaged.
    """

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

    def error(self) -> ArchiveError | None:
        return None

    def leave_out_damaged(self) -> bool:
        unreadable = list(compacted.unreadable(self.files))
        for file, reason in unreadable:
            self.files.remove(file)
            self.left_out.append(file)
            self._damaged[file.file.path] = Damage(f"{reason}; the texts in it were read instead", file.records)
        return bool(unreadable)

    @property
    def damaged(self) -> Mapping[str, Damage]:
        return self._damaged


class Attempts:
    """Runs queries that take all text to be JSON. After some text was not, all later queries use slower checks.

    Safe for use in several threads.
    """

    def __init__(self) -> None:
        self._all_json = True

    def at(self, chunk: Chunk, query: Callable[[bool], Item]) -> Item:
        """The result of a query over a chunk. The query's argument says whether to take all text to be JSON.

        Raises ArchiveError if the archive caused the failure.
        """
        all_json = self._all_json  # another lane may change it meanwhile
        try:
            return query(all_json)
        except duckdb.Error as raised:
            if error := chunk.error():
                raise error from raised
            if not chunk.leave_out_damaged():
                if not all_json or not isinstance(raised, duckdb.InvalidInputException):
                    raise
                self._all_json = False
        return self.at(chunk, query)
