"""The records of compacted files (see ``spark_batch.archive``) as Arrow batches: of the columns only
those fields that are needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from producer.layout import ArchiveFile
from spark_batch.lines import Lines
from spark_batch.source import Source, SourceError

_ROWS = 65_536


@dataclass(frozen=True)
class Rows:
    """Some rows of one file, in no particular order: the records' offsets are in ``_offset``."""

    file: ArchiveFile
    rows: pa.RecordBatch
    is_last: bool
    damage: str | None = None

    @property
    def nbytes(self) -> int:
        return int(self.rows.nbytes)

    def batches(self) -> list[pa.RecordBatch]:
        """The rows, their offsets as ``_off``."""
        names = ["_off" if name == "_offset" else name for name in self.rows.schema.names]
        return [self.rows.rename_columns(names)]


def pieces(source: Source, file: ArchiveFile, leaves: Collection[str]) -> Iterator[Rows | Lines]:
    """The records of a compacted file, with the fields whose paths are given (``payload.sent_at``).

    Where a field is not in the file, as it was declared later, the records' texts are given instead.
    Raises SourceError for a file that cannot be read.
    """
    try:
        with source.fs.open(file.path, "rb") as raw, pq.ParquetFile(raw) as opened:
            schema = opened.schema_arrow
            if _has_all(schema, leaves):
                columns = ["_offset", "_failed", *sorted(leaves)]
                left = opened.metadata.num_rows
                for batch in opened.iter_batches(_ROWS, columns=columns):
                    left -= batch.num_rows
                    yield Rows(file, batch, is_last=left == 0)
                return
            texts = opened.read(["_offset", "_line"]).sort_by("_offset")
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"Cannot read {file.path}: {error}") from error
    lines = texts["_line"].cast(pa.large_string()).combine_chunks()
    yield Lines(file, file.start, lines, is_last=True)


def has_fields(source: Source, file: ArchiveFile, leaves: Collection[str]) -> bool:
    """Whether a compacted file has all these fields. Raises SourceError for a file that cannot be read."""
    try:
        with source.fs.open(file.path, "rb") as raw:
            schema = pq.read_schema(raw)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"Cannot read {file.path}: {error}") from error
    return _has_all(schema, leaves)


def _has_all(schema: pa.Schema, leaves: Collection[str]) -> bool:
    return all(_is_in(schema, leaf.split(".")) for leaf in leaves)


def _is_in(schema: pa.Schema, path: list[str]) -> bool:
    if path[0] not in schema.names:
        return False
    kind = schema.field(path[0]).type
    for name in path[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return True
