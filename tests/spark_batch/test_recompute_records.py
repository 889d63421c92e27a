"""recompute reads records as the embedded server does: the cases of ``tests/embedded/records.yml``, on each engine,
from archive files as they are written and from compacted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opensea_metrics.core.errors import SqlError
from opensea_metrics.producer.archive import compacted
from opensea_metrics.producer.archive.location import open_archive
from opensea_metrics.spark_batch.upkeep.check import check as check_archive
from opensea_metrics.spark_batch.upkeep.compact import compact
from opensea_metrics.spark_batch.upkeep.outcome import Options
from opensea_metrics.spark_batch.upkeep.rows import raw_stream
from opensea_metrics.spark_batch.upkeep.runs import groups
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied, check
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.embedded.inside import inside
from tests.embedded.records import CASES, Case, shown_as_in_replies
from tests.spark_batch.archives import DAY_MS, START, add, needs, recomputed, request

HOUR = 3_600_000
ENGINES = ("duckdb", "spark")

each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
each_engine = pytest.mark.parametrize("engine", ENGINES)


def declared(root: Path, declaration: str) -> Path:
    """A project with a stream GIVEN, and a table READ that has each of its records by their event times."""
    (statement,) = parse_script(declaration, "given")
    names = [f"`{column.name}`" for column in applied(Catalog(), statement, 1).sources["GIVEN"].columns]
    values = ", ".join(f"LATEST_BY_OFFSET({name}) AS {name}" for name in names)
    table = (
        f"CREATE TABLE read WITH (KEY_FORMAT='JSON') AS SELECT ROWTIME AS event_time, {values} FROM given"
        " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY ROWTIME;"
    )
    (root / "migrations").mkdir(parents=True)
    (root / "settings.yml").write_text("{}")
    (root / "migrations/V001__read.sql").write_text(f"{declaration}\n{table}")
    return root


def archived(topic: Path, lines: list[bytes]) -> None:
    """Write a file for each two lines, so that names differ within files and between them."""
    for first in range(0, len(lines), 2):
        add(topic, START, first, lines[first : first + 2])


def compact_all(topic: Path, root: Path) -> Path:
    """Compact the files of a topic into one, and give this."""
    source = open_archive(topic)
    stream = raw_stream(check(load_project(root)), "OpenSeaRawEvents")
    planned = groups(source.listing().files, START + 90 * DAY_MS, 0, START, START + HOUR)
    assert compact(source, stream, planned, Options()).compacted == 1
    (made,) = topic.rglob("*.parquet")
    return made


def read(topic: Path, root: Path, engine: str) -> list[Any]:
    """The rows of the table READ as replies of ksqlDB have them, with the event time last."""
    tables, prepared, _ = recomputed(topic, request(wanted="read", engine=engine), root)
    key, *values = prepared.job.pipeline.catalog.sources["READ"].columns
    columns = [*values, key]
    return shown_as_in_replies(columns, ([row[column.name] for column in columns] for row in tables["READ"]))


@each_engine
@pytest.mark.parametrize("is_compacted", [False, True])
@each_case
def test_rows(tmp_path: Path, case: Case, is_compacted: bool, engine: str) -> None:
    needs(engine)
    root = declared(tmp_path / "sql", case.declaration("given", "OpenSeaRawEvents"))
    topic = tmp_path / "topics/OpenSeaRawEvents"
    archived(topic, case.lines)
    if is_compacted:
        if b"\xff" in b"".join(case.lines):
            pytest.skip("files that are not UTF-8 are never compacted")
        compact_all(topic, root)
    if engine == "spark" and case.spark_refuses:
        with pytest.raises(SqlError, match=case.spark_refuses):
            read(topic, root, engine)
        return
    assert read(topic, root, engine) == case.rows


GIVEN = "CREATE STREAM given ({}) WITH (KAFKA_TOPIC='OpenSeaRawEvents', VALUE_FORMAT='JSON', PARTITIONS=1, {});"
BEFORE = GIVEN.format("t BIGINT, n INT, s STRUCT<Usd_Price DOUBLE>", "TIMESTAMP='t'")
LINES = [
    b'{"t":1788998400001,"later":1788998460001,"n":1,"s":{"Usd_Price":1.5,"Nft_Id":"x"}}',
    b'{"t":1788998400002,"later":1788998460002,"n":3000000000,"s":{"usd_price":2.5}}',
    b'{"t":1788998400003,"later":null,"n":"three","s":{"Usd_Price":"none"}}',
]


@each_engine
@pytest.mark.parametrize(
    ("after", "rows"),
    [
        pytest.param(
            GIVEN.format("t TIMESTAMP, n BIGINT, s STRUCT<usd_price DOUBLE>", "TIMESTAMP='t'"),
            [
                ["2026-09-10T00:00:00.001", 1, {"USD_PRICE": 1.5}, 1788998400001],
                ["2026-09-10T00:00:00.002", 3_000_000_000, {"USD_PRICE": 2.5}, 1788998400002],
            ],
            id="a number is a time",
        ),
        pytest.param(
            GIVEN.format("t BIGINT, n VARCHAR, s STRUCT<usd_price VARCHAR>", "TIMESTAMP='t'"),
            [
                [1788998400001, "1", {"USD_PRICE": "1.5"}, 1788998400001],
                [1788998400002, "3000000000", {"USD_PRICE": "2.5"}, 1788998400002],
                [1788998400003, "three", {"USD_PRICE": "none"}, 1788998400003],
            ],
            id="numbers are text",
        ),
        pytest.param(
            GIVEN.format("t BIGINT, later BIGINT, s STRUCT<nft_id VARCHAR>", "TIMESTAMP='later'"),
            [
                [1788998400001, 1788998460001, {"NFT_ID": "x"}, 1788998460001],
                [1788998400002, 1788998460002, {"NFT_ID": None}, 1788998460002],
            ],
            id="another event time",
        ),
    ],
)
def test_a_stream_that_is_declared_otherwise_after_compaction(
    tmp_path: Path, after: str, rows: list[Any], engine: str
) -> None:
    needs(engine)
    topic = tmp_path / "topics/OpenSeaRawEvents"
    archived(topic, LINES)
    compact_all(topic, declared(tmp_path / "before", BEFORE))
    root = declared(tmp_path / "after", after)
    assert read(topic, root, engine) == rows
    report = check_archive(open_archive(topic), raw_stream(check(load_project(root)), "OpenSeaRawEvents"))
    kinds = [finding.kind.name for finding in report.findings]
    assert kinds == (["FAILED"] if len(rows) < len(LINES) else [])


@pytest.mark.parametrize(
    ("columns", "properties", "is_read"),
    [
        ("t BIGINT, n INT, s STRUCT<usd_price DOUBLE>", "TIMESTAMP='t'", True),
        ("n INT, memo VARCHAR, T BIGINT, s STRUCT<nft_id VARCHAR, usd_price DOUBLE>", "TIMESTAMP='t'", True),
        ("t BIGINT, n INT, s STRUCT<usd_price DOUBLE, x INT>", "TIMESTAMP='t'", False),
        ("t BIGINT, n INT, s STRUCT<usd_price DOUBLE>, l ARRAY<VARCHAR>", "TIMESTAMP='t'", False),
        ("t BIGINT, n BIGINT, s STRUCT<usd_price DOUBLE>", "TIMESTAMP='t'", False),
        ("t VARCHAR, n INT, s STRUCT<usd_price DOUBLE>", "TIMESTAMP='t', TIMESTAMP_FORMAT='yyyy'", False),
    ],
)
def test_fields_are_read_if_they_were_decoded_as_they_are_declared(
    tmp_path: Path, columns: str, properties: str, is_read: bool
) -> None:
    topic = tmp_path / "topics/OpenSeaRawEvents"
    archived(topic, LINES)
    compact_all(topic, declared(tmp_path / "before", BEFORE))
    catalog = check(load_project(declared(tmp_path / "after", GIVEN.format(columns, properties))))
    source = open_archive(topic)
    (file,) = source.listing().files
    columns_there = compacted.schema(source, file, [raw_stream(catalog, "OpenSeaRawEvents")])
    assert columns_there is not None
    assert compacted.has_fields(columns_there, ["t", "s.usd_price"]) is is_read
    assert not compacted.has_fields(columns_there, ["s.nft_id"])


@each_engine
def test_a_file_of_an_older_version_is_read_by_its_texts(tmp_path: Path, engine: str) -> None:
    needs(engine)
    topic = tmp_path / "topics/OpenSeaRawEvents"
    archived(topic, LINES)
    root = declared(tmp_path / "sql", BEFORE)
    made = compact_all(topic, root)
    table = pq.read_table(made)
    wrong = pa.nulls(len(table), pa.struct([("usd_price", pa.float64())]))
    old = table.set_column(table.schema.names.index("s"), "s", wrong).replace_schema_metadata(None)
    pq.write_table(old, made)
    # n wraps around in an INT
    expected = [
        [1788998400001, 1, {"USD_PRICE": 1.5}, 1788998400001],
        [1788998400002, -1294967296, {"USD_PRICE": 2.5}, 1788998400002],
    ]
    assert read(topic, root, engine) == expected


def test_a_format_that_is_not_read_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    root = declared(tmp_path, GIVEN.format("t VARCHAR", "TIMESTAMP='t', TIMESTAMP_FORMAT='QQQ yyyy'"))
    with pytest.raises(SqlError, match="'QQQ' is not supported by archive check and archive compact"):
        raw_stream(check(load_project(root)), "OpenSeaRawEvents")


MOVED = """
CREATE STREAM moved WITH (TIMESTAMP='LATER') AS SELECT n, later FROM given;
CREATE TABLE counted AS SELECT n, COUNT(*) AS rows FROM moved WINDOW TUMBLING (SIZE 1 MINUTE) GROUP BY n;
"""


@pytest.mark.parametrize("engine", ["embedded", *ENGINES])
@pytest.mark.parametrize("kind", ["BIGINT", "TIMESTAMP"])
def test_a_stream_that_a_query_writes_has_the_times_of_a_column(tmp_path: Path, kind: str, engine: str) -> None:
    """Observed on 7.9.1: rows without a time, or with one before 1970, are not written."""
    needs(engine)
    lines = [f'{{"t":{START},"n":{n},"later":{time}}}' for n, time in enumerate((START + 90_000, "null", -5))]
    declaration = GIVEN.format(f"t BIGINT, n INT, later {kind}", "TIMESTAMP='t'")
    if engine == "embedded":
        folder = tmp_path / "topics/OpenSeaRawEvents"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("".join(f"{line}\n" for line in lines))
        with inside(tmp_path) as server:
            server.done(f"SET 'auto.offset.reset'='earliest'; {declaration} {MOVED}")
            server.settle()
            rows = server.ask("SELECT n, WINDOWSTART, rows FROM counted;")
            assert server.ask("SELECT n, ROWTIME FROM moved;") == [{"N": 0, "ROWTIME": START + 90_000}]
    else:
        root = declared(tmp_path / "sql", declaration)
        (root / "migrations/V002__moved.sql").write_text(MOVED)
        archived(tmp_path / "topics/OpenSeaRawEvents", [line.encode() for line in lines])
        tables, _, _ = recomputed(tmp_path / "topics/OpenSeaRawEvents", request(wanted="counted", engine=engine), root)
        rows = [{name: row[name] for name in ("N", "WINDOWSTART", "ROWS")} for row in tables["COUNTED"]]
    assert rows == [{"N": 0, "WINDOWSTART": START + 60_000, "ROWS": 1}]
