"""An archive's files as relations of Spark: SQL over views of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import pyarrow as pa

from sql.lowering.spark import quoted, text
from sql.sources import Column, Source
from sql.types import BIGINT, BOOLEAN, DOUBLE, INTEGER, STRING, KsqlType, StructType, spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OFFSET = "named_struct('f', _offset, 'r', 0L)"
_PARSED = (BIGINT, INTEGER, DOUBLE, BOOLEAN)
_LEGAL = "/!$&'()*+,;=:@-._~"
"""Characters that a URI's path may have."""
_WHOLE = "'^ *[-+]?[0-9]+ *$'"


def _epoch_ms(path: str) -> str:
    """The time that a text of a record tells, as ``producer.envelope`` reads it."""
    found = f"get_json_object(value, '{path}')"
    looks = r"r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$'"
    colon = f"regexp_replace({found}, r'([+-]\\d\\d)(\\d\\d)$', r'$1:$2')"
    return f"CASE WHEN {found} RLIKE {looks} THEN unix_millis(TRY_CAST({colon} AS TIMESTAMP)) END"


# A record without event_time, of the predecessor's (see spark_batch.archive.legacy).
_TOLD = (
    "CASE WHEN get_json_object(value, '$.event_time') IS NULL THEN coalesce("
    f"{_epoch_ms('$.payload.payload.event_timestamp')}, {_epoch_ms('$.payload.sent_at')}) END"
)


def text_lines(session: SparkSession, files: Sequence[tuple[int, str]], source: Source) -> str:
    """The records of text files as a stream declares them: its columns, ROWTIME, ``_off``, ``_failed``.

    ``files`` are start offsets and addresses; ``_off`` tells a partition's newer records from older ones.
    """
    _starts(session, files)
    lines = (
        session.read.text([address for _, address in files])
        if files
        else session.createDataFrame([], "value STRING").selectExpr("value")
    )
    columns = ["value"]
    if files:
        columns += ["_metadata.file_path AS _path", "monotonically_increasing_id() AS _row"]
    else:
        columns += ["'' AS _path", "0L AS _row"]
    lines.selectExpr(*columns).createOrReplaceTempView("archive_lines")
    return _decoded(
        # Spark numbers the rows of a task; the lines of a file are in one task, in order.
        "SELECT /*+ BROADCAST(archive_files) */ value, named_struct('f', start, 'r', _row) AS _off"
        " FROM archive_lines JOIN archive_files ON _path = path",
        source,
    )


def compacted_text(session: SparkSession, addresses: Sequence[str], source: Source) -> str:
    """The records of compacted files, decoded from their texts."""
    session.read.parquet(*addresses).createOrReplaceTempView("archive_texts")
    return _decoded(f"SELECT _line AS value, {_OFFSET} AS _off FROM archive_texts", source)


def compacted_rows(session: SparkSession, addresses: Sequence[str], source: Source) -> str:
    """The records of compacted files that have all the fields of a stream, as they were decoded."""
    columns = [f"{quoted(column.name)} {spark(column.type)}" for column in _values(source)]
    schema = ", ".join([*columns, "_offset BIGINT", "_failed STRING"])
    session.read.schema(schema).parquet(*addresses).createOrReplaceTempView("archive_rows")
    names = ", ".join(quoted(column.name) for column in _values(source))
    time = quoted(str(source.timestamp))
    return f"SELECT {names}, {_OFFSET} AS _off, {time} AS ROWTIME, _failed FROM archive_rows"


def _decoded(lines: str, source: Source) -> str:
    """The rows of a relation with ``value`` and ``_off``."""
    shape = ", ".join(f"`{c.name.lower()}` {_json_type(c.type)}" for c in _values(source))
    parsed = (
        f"from_json(value, {text(f'{shape}, _corrupt STRING')}, "
        "map('columnNameOfCorruptRecord', '_corrupt', 'mode', 'PERMISSIVE'))"
    )
    record = f"SELECT {parsed} AS v, value, _off FROM ({lines})"
    columns, wrong = [], ["v._corrupt IS NOT NULL"]
    for column in _values(source):
        raw = f"v.{quoted(column.name.lower())}"
        value = _value(column.type, raw)
        columns.append(f"{value} AS {quoted(column.name)}")
        if column.type in _PARSED:
            wrong.append(f"({raw} IS NOT NULL AND {value} IS NULL)")
    decoded = (
        f"SELECT {', '.join(columns)}, _off, ({' OR '.join(wrong)}) AS _wrong, value FROM ({record})"
    )
    time = quoted(str(source.timestamp))
    told = f"CASE WHEN {time} IS NULL AND NOT _wrong THEN {_TOLD} END"
    timed = f"SELECT * EXCEPT (value), coalesce({time}, {told}) AS ROWTIME FROM ({decoded})"
    reason = "CASE WHEN _wrong THEN 'not as declared' WHEN ROWTIME IS NULL THEN 'no timestamp' END"
    return (
        f"SELECT * EXCEPT (_wrong, {time}), ROWTIME AS {time}, {reason} AS _failed FROM ({timed})"
    )


def _starts(session: SparkSession, files: Sequence[tuple[int, str]]) -> None:
    """A view of the files' start offsets by their paths, as Spark's metadata has them."""
    starts = pa.array([start for start, _ in files], pa.int64())
    paths = pa.array([_as_spark(address) for _, address in files], pa.string())
    # As an Arrow table: rows of Python's would take a worker in Python to read them.
    table = pa.table({"start": starts, "path": paths})
    session.createDataFrame(table).createOrReplaceTempView("archive_files")


def _as_spark(address: str) -> str:
    """An address as Spark's metadata has it: a URI of Java's."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, separator, rest = "file", ":", address
    return f"{scheme}{separator}{quote(rest, safe=_LEGAL)}"


def _values(source: Source) -> list[Column]:
    return [column for column in source.columns if not column.is_key]


def _json_type(kind: KsqlType, depth: int = 0) -> str:
    """What a field is read as: scalars at the top as texts, to be checked."""
    if isinstance(kind, StructType):
        fields = (f"`{name.lower()}`: {_json_type(inner, depth + 1)}" for name, inner in kind.fields)
        return f"STRUCT<{', '.join(fields)}>"
    return "STRING" if kind in _PARSED and depth == 0 else spark(kind)


def _value(kind: KsqlType, raw: str) -> str:
    if kind == STRING or kind not in _PARSED:
        return raw
    if kind == BOOLEAN:
        return f"CASE {raw} WHEN 'true' THEN true WHEN 'false' THEN false END"
    number = f"TRY_CAST({raw} AS DOUBLE)"
    if kind == DOUBLE:
        return number
    # 1.7 is 1 for an INTEGER or BIGINT; an INTEGER wraps around (observed).
    exact = f"CASE WHEN {raw} RLIKE {_WHOLE} THEN TRY_CAST(trim({raw}) AS BIGINT) END"
    whole = f"coalesce({exact}, CAST({number} AS BIGINT))"
    return whole if kind == BIGINT else f"CAST({whole} AS INT)"
