"""Records from all origins have a partition, an offset and headers. Each partition has its own stream time."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from opensea_metrics.deploy.embedded.statements import effects
from opensea_metrics.deploy.embedded.topics import partitioner
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.inside import Inside, inside

RAW = (
    "CREATE STREAM raw (k VARCHAR {key}, t BIGINT, a BIGINT{more}) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON',"
    " PARTITIONS={partitions}, TIMESTAMP='t');"
)
RECORD = "ROWPARTITION AS p, ROWOFFSET AS o, a"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as running:
        yield running


def declare(server: Inside, partitions: int = 2, key: str = "KEY", more: str = "") -> None:
    server.done(RAW.format(partitions=partitions, key=key, more=more))


def put(server: Inside, name: str, *values: tuple[int, int], key: str = "x") -> Path:
    """Write a file with records of (time, a)."""
    path = server.engine.root / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(f'{{"k":"{key}","t":{time},"a":{a}}}\n' for time, a in values)
    return path


def records(server: Inside, source: str = "raw") -> list[tuple[int, int, int]]:
    rows = server.ask(f"SELECT {RECORD} FROM {source};")
    return sorted((row["P"], row["O"], row["A"]) for row in rows)


def offsets(server: Inside, source: str) -> list[tuple[int, int, int]]:
    """The number, the lag and the end of each partition that the query of a source reads."""
    (reply,), _ = server.run(f"DESCRIBE {source} EXTENDED;")
    (summary,) = reply["sourceDescription"]["queryOffsetSummaries"]
    (topic,) = summary["topicSummaries"]
    return [
        (partition["partition"], partition["logEndOffset"] - partition["consumerOffset"], partition["logEndOffset"])
        for partition in topic["offsets"]
    ]


def test_a_files_name_has_partition_and_offset(server: Inside) -> None:
    declare(server, key="")
    put(server, "raw+0+0000000100.json", (1, 1), (2, 2))
    put(server, "raw+1+0000000007.json", (1, 3))
    put(server, "raw+1+0000000007.json", (2, 4))
    assert records(server) == [(0, 100, 1), (0, 101, 2), (1, 7, 3), (1, 8, 4)]
    put(server, "raw+1+0000000007.json", (3, 5))
    put(server, "other.json", (3, 6))
    assert records(server)[2:] == [(0, 102, 6), (1, 7, 3), (1, 8, 4), (1, 9, 5)]


def test_later_records_of_a_file_have_the_following_offsets(server: Inside) -> None:
    declare(server, key="")
    chance = random.Random(1)
    values = [(1, chance.getrandbits(60)) for _ in range(5_000)]
    path = put(server, "raw+1+0000000007.json.gz", *values)
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    server.settle()
    assert 0 < len(records(server, "copied")) < 5_000
    path.write_bytes(packed)
    server.engine._next_again = 0
    server.engine.work()
    assert records(server, "copied") == [(1, 7 + number, a) for number, (_, a) in enumerate(values)]
    assert offsets(server, "copied")[1] == (1, 0, 5_007)


def test_inserted_records_follow_the_files_in_the_partition_of_their_key(server: Inside) -> None:
    declare(server, partitions=2)
    put(server, "raw+0+0.json", (1, 1), key="file")
    put(server, "raw+1+40.json", (1, 2), key="file")
    server.settle()
    server.engine.discover(server.engine._cursor, "raw")
    for number, key in enumerate(["a", "b", "c", "d", "e"]):
        server.done(f"INSERT INTO raw (k, t, a) VALUES ('{key}', 5, {number + 10});")
    expected = {key: partitioner.murmur2(key.encode()) % 2**31 % 2 for key in "abcde"}
    following = {0: 1, 1: 41}
    wanted = [(0, 0, 1), (1, 40, 2)]
    for number, key in enumerate("abcde"):
        partition = expected[key]
        wanted.append((partition, following[partition], number + 10))
        following[partition] += 1
    assert set(expected.values()) == {0, 1}
    assert records(server) == sorted(wanted)


@pytest.mark.parametrize(
    ("data", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536),
     ("a-little-bit-longer-string", -1486304829), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)],
)  # fmt: skip
def test_murmur2_is_kafkas(data: str, hashed: int) -> None:
    """The expectations of Kafka's own clients."""
    assert partitioner.murmur2(data.encode()) == hashed % 2**32


def source(columns: str, key_format: str) -> Source:
    text = (
        f"CREATE STREAM s ({columns}, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1,"
        f" KEY_FORMAT='{key_format}');"
    )
    return applied(Catalog(), parse_statement(text), 0).sources["S"]


@pytest.mark.parametrize(
    ("columns", "key_format", "key", "encoded"),
    [
        ("k VARCHAR KEY", "KAFKA", {"K": "ü"}, "ü".encode()),
        ("k INT KEY", "KAFKA", {"K": -2}, b"\xff\xff\xff\xfe"),
        ("k BIGINT KEY", "KAFKA", {"K": 258}, b"\0\0\0\0\0\0\1\2"),
        ("k DOUBLE KEY", "KAFKA", {"K": 1.0}, b"\x3f\xf0\0\0\0\0\0\0"),
        ("k VARCHAR KEY", "JSON", {"K": 'a"b'}, b'"a\\"b"'),
        ("k INT KEY, l VARCHAR KEY", "JSON", {"K": 1, "L": "x"}, b'{"K":1,"L":"x"}'),
        ("k INT KEY, l VARCHAR KEY", "DELIMITED", {"K": 1, "L": "x"}, b"1,x"),
    ],
)
def test_a_key_is_hashed_as_its_format_writes_it(
    columns: str, key_format: str, key: dict[str, Any], encoded: bytes
) -> None:
    partition = partitioner.partition(source(columns, key_format), key, 1_000)
    assert partition == partitioner.murmur2(encoded) % 2**31 % 1_000


def test_offsets_have_no_gap_after_a_failed_insert(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = "INSERT INTO s VALUES ('x');"
    created = "CREATE STREAM s (v VARCHAR) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);"
    server.done(created + insert)

    def failing(*given: Any) -> None:
        effects_insert(*given)
        raise duckdb.Error("the disk is full")

    effects_insert = effects.insert
    with monkeypatch.context() as patched:
        patched.setattr(effects, "insert", failing)
        assert server.run(insert)[1] == 500
    server.done(insert)
    assert [row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM s;")] == [0, 1]
    server.done("DROP STREAM s DELETE TOPIC;" + created + insert)
    assert [row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM s;")] == [0]


def test_records_keep_partition_and_offset_through_streams(server: Inside) -> None:
    declare(server, key="")
    put(server, "raw+0+0.json", (1, 1), (2, 2), (3, 3))
    put(server, "raw+1+0.json", (1, 4))
    server.done("CREATE STREAM copied AS SELECT a, ROWPARTITION AS was, ROWOFFSET AS off FROM raw WHERE a <> 2;")
    server.done("CREATE STREAM again AS SELECT * FROM copied;")
    server.settle()
    for name in ("copied", "again"):
        assert records(server, name) == [(0, 0, 1), (0, 2, 3), (1, 0, 4)]
    rows = server.ask("SELECT was, off, a FROM again WHERE ROWPARTITION = 1;")
    assert rows == [{"WAS": 1, "OFF": 0, "A": 4}]
    server.done("DROP STREAM again;")
    server.done("CREATE STREAM was_left (a BIGINT) WITH (KAFKA_TOPIC='AGAIN', VALUE_FORMAT='JSON');")
    assert records(server, "was_left") == [(0, 0, 1), (0, 2, 3), (1, 0, 4)]


def test_headers_of_records_without_any_are_empty(server: Inside) -> None:
    declare(server, more=", h ARRAY<STRUCT<key VARCHAR, value BYTES>> HEADERS")
    put(server, "raw+0+0.json", (1, 1))
    with (server.engine.root / "raw/raw+0+0.json").open("a") as file:
        file.write('{"t":1,"a":2,"h":[{"key":"from the value","value":"eA=="}]}\n')
    server.done("INSERT INTO raw (k, t, a) VALUES ('x', 1, 3);")
    server.done("CREATE STREAM copied AS SELECT k, a, h FROM raw;")
    server.settle()
    for name in ("raw", "copied"):
        assert server.ask(f"SELECT a, h FROM {name};") == [{"A": a, "H": []} for a in (1, 2, 3)]


def test_describe_extended_shows_ends_and_lags(server: Inside) -> None:
    declare(server)
    server.done("CREATE TABLE sums AS SELECT k, COUNT(*) AS n FROM raw GROUP BY k;")
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    server.done("CREATE TABLE later AS SELECT k, COUNT(*) AS n FROM copied GROUP BY k;")
    put(server, "raw+0+10.json", (1, 1), (2, 2))
    put(server, "raw+1+5.json", (1, 3))
    server.settle()
    server.done("INSERT INTO raw (k, t, a) VALUES ('x', 5, 4);")  # murmur2 puts it into partition 0
    server.settle()
    ends = {0: 13, 1: 6}
    for name in ("sums", "copied"):
        assert offsets(server, name) == [(0, 0, ends[0]), (1, 0, ends[1])], name
    assert [lag for _, lag, _ in offsets(server, "later")] == [0, 0]
    put(server, "raw+1+5.json", (1, 3), (1, 4))
    server.done("PAUSE ALL;")
    assert [lag for _, lag, _ in offsets(server, "sums")] == [0, 2]
    path = server.engine.root / "raw/raw+0+12.json.gz"
    path.write_bytes(gzip.compress(b'{"t":1,"a":1}\n' * 5))
    assert offsets(server, "sums") == [(0, 5, 17), (1, 2, 8)]


def counts(server: Inside, table: str) -> dict[tuple[str, int], int]:
    rows = server.ask(f"SELECT k, n, WINDOWSTART FROM {table};")
    return {(row["K"], row["WINDOWSTART"]): row["N"] for row in rows}


WINDOW = "WINDOW TUMBLING (SIZE 1 SECONDS, GRACE PERIOD 0 SECONDS)"


def test_a_partition_closes_its_windows_by_its_own_time(server: Inside) -> None:
    """A query that groups by its source's key has a task for each partition."""
    declare(server, partitions=2)
    by_partition: dict[int, str] = {}
    for key in "abcdefgh":
        by_partition.setdefault(partitioner.murmur2(key.encode()) % 2**31 % 2, key)
    ahead, behind = by_partition[0], by_partition[1]
    server.done(f"CREATE TABLE keyed AS SELECT k, COUNT(*) AS n FROM raw {WINDOW} GROUP BY k;")
    select = f"SELECT k, a, COUNT(*) AS n FROM raw {WINDOW} GROUP BY k, a"
    server.done(f"CREATE TABLE shared WITH (KEY_FORMAT='JSON') AS {select};")
    for time, key in ((100, ahead), (5_000, ahead), (200, behind), (300, ahead), (6_000, behind), (400, behind)):
        server.done(f"INSERT INTO raw (k, t, a) VALUES ('{key}', {time}, 1);")
        server.settle()
    assert counts(server, "keyed") == {(ahead, 0): 1, (ahead, 5_000): 1, (behind, 0): 1, (behind, 6_000): 1}
    # A query that groups by other columns has one time for all partitions.
    assert counts(server, "shared") == {(ahead, 0): 1, (ahead, 5_000): 1, (behind, 6_000): 1}


def test_partitions_are_merged_by_time(server: Inside) -> None:
    """If they were read one after the other, partition 0 would close the windows of partition 1."""
    declare(server, key="")
    put(server, "raw+0+0.json", *((time * 1_000, 0) for time in range(50)))
    put(server, "raw+1+0.json", *((time * 1_000, 1) for time in range(50)), (0, 2))
    server.done(f"CREATE TABLE shared AS SELECT k, COUNT(*) AS n FROM raw {WINDOW} GROUP BY k;")
    server.settle()
    assert counts(server, "shared") == {("x", time * 1_000): 2 for time in range(50)}
