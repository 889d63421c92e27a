"""The results of ``recompute --to-parquet`` as tables, so that the same pages show past periods."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from starlette.concurrency import run_in_threadpool

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.deploy.dashboard.tables import RowSelection, Values
from opensea_metrics.producer.archive.errors import is_of_storage, reason
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.producer.environment import without_secrets

_ENDING = ".parquet"


class ResultsError(OpenSeaMetricsError):
    """The folder of results, or a file in it, cannot be read. The message says where and why."""


class ResultTables:
    """The Parquet files of a folder or bucket. Each ``<table>.parquet`` is a table."""

    is_live = False

    def __init__(self, url: str) -> None:
        """Raises ArchiveError if the URL cannot be used."""
        place = open_archive(url)
        self.url = without_secrets(url)
        self._fs: Any = place.fs
        self._root = place.root

    async def names(self) -> frozenset[str]:
        """The names of all tables. Raises ResultsError."""
        return await run_in_threadpool(self._names)

    async def rows(self, selection: RowSelection) -> list[Values]:
        """The rows of a selection. Raises ResultsError."""
        return await run_in_threadpool(partial(self._rows, selection))

    def _names(self) -> frozenset[str]:
        try:
            self._fs.invalidate_cache()
            files = [str(path).rpartition("/")[2] for path in self._fs.ls(self._root, detail=False)]
        except Exception as error:
            raise self._failed(self.url, error) from error
        return frozenset(name.removesuffix(_ENDING).upper() for name in files if name.endswith(_ENDING))

    def _rows(self, selection: RowSelection) -> list[Values]:
        name = f"{selection.table.lower()}{_ENDING}"
        columns = [*selection.columns, *selection.first_keys]
        try:
            with self._fs.open(f"{self._root}/{name}", "rb") as file:
                kind = pq.read_schema(file).field("WINDOWSTART").type
                file.seek(0)
                table = pq.read_table(file, columns=columns, filters=_condition(selection, kind))
        except Exception as error:
            raise self._failed(f"{self.url}/{name}", error) from error
        values = [_in_ms(table.column(column)).to_pylist() for column in columns]
        plain = len(selection.columns)
        return [
            [*row[:plain], *(entries[0]["KEY"] if entries else None for entries in row[plain:])]
            for row in zip(*values, strict=True)
        ]

    def _failed(self, where: str, error: Exception) -> ResultsError:
        """The error to raise. Raises the error itself if it comes neither from the storage nor from a file."""
        if is_of_storage(error) or isinstance(error, OSError):
            return ResultsError(f"cannot read results in {where}: {reason(error)}")
        if isinstance(error, pa.ArrowException):
            return ResultsError(f"{where} is not a result of this release of recompute: {error}")
        raise error


def _condition(selection: RowSelection, kind: pa.DataType) -> Any:
    """The filter of a selection. ``kind`` is the type of a window's start: a time, or epoch ms."""
    condition = pc.scalar(True)
    for column, value in selection.equal:
        condition &= pc.field(column) == value
    if selection.start is not None:
        condition &= pc.field("WINDOWSTART") >= _moment(selection.start, kind)
    if selection.end is not None:
        condition &= pc.field("WINDOWSTART") < _moment(selection.end, kind)
    return condition


def _moment(ms: int, kind: pa.DataType) -> pa.Scalar:
    if not pa.types.is_timestamp(kind):
        return pa.scalar(ms)
    return pa.scalar(ms, pa.timestamp("ms", kind.tz)).cast(kind)


def _in_ms(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose times are epoch ms."""
    if not pa.types.is_timestamp(column.type):
        return column
    return column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
