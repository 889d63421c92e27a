"""Old data is deleted and its space on the disk is used again. Data that somebody has not read yet stays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.files import segments
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.topics import chunks, log_tables, retention
from opensea_metrics.deploy.embedded.topics.record_topic import Positions
from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.inside import Inside, inside

DAY = 86_400_000
START = 1_789_467_000_000 // DAY * DAY
RAW = (
    "CREATE STREAM raw (t BIGINT, k VARCHAR) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1,"
    " TIMESTAMP='t'{more});"
)
HOURLY = (
    "CREATE TABLE hourly AS SELECT k, COUNT(*) AS n FROM {source} WINDOW TUMBLING (SIZE 1 HOURS, RETENTION 2 HOURS,"
    " GRACE PERIOD 30 MINUTES) GROUP BY k;"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as running:
        yield running


def write(server: Inside, first: int, count: int, start: int, step: int, name: str = "live.json") -> None:
    """Append records to a file, with times every ``step`` ms from ``start`` on."""
    path = server.engine.root / "raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(
            f'{{"t":{start + n * step},"k":"a long key: {(first + n) * 2_654_435_761 % 2**32:x}"}}\n'
            for n in range(count)
        )


def sweep(server: Inside, now: int, clients: dict[str, list[Positions]] | None = None) -> None:
    retention.sweep(server.engine._cursor, server.engine._topics(), now, clients or {})
    with server.engine.turn():
        server.engine._logs = log_tables.logs(server.engine._cursor)


def starts(server: Inside) -> list[int]:
    rows = server.ask("SELECT WINDOWSTART AS ws FROM hourly;")
    return sorted({(row["WS"] - START) // 3_600_000 for row in rows})


def test_windows_are_kept_for_their_retention_in_stream_time(server: Inside) -> None:
    server.done(RAW.format(more=""))
    server.done(HOURLY.format(source="raw"))
    write(server, 0, 6, START, 3_600_000)
    server.settle()
    assert starts(server) == [0, 1, 2, 3, 4, 5]
    sweep(server, now=0)
    assert starts(server) == [4, 5]


def test_a_window_stays_until_its_changes_are_read(server: Inside) -> None:
    server.done(RAW.format(more=""))
    server.done(HOURLY.format(source="raw"))
    server.done("CREATE STREAM changes (n BIGINT) WITH (KAFKA_TOPIC='HOURLY', VALUE_FORMAT='JSON');")
    server.done("CREATE TABLE tops AS SELECT n, LATEST_BY_OFFSET(n) AS m FROM changes GROUP BY n;")
    (tops,) = (query.id for query in server.engine.catalog.writers("TOPS"))
    server.done(f"PAUSE {tops};")
    write(server, 0, 6, START, 3_600_000)
    server.settle()
    sweep(server, now=0)
    assert starts(server) == [0, 1, 2, 3, 4, 5]
    server.done(f"RESUME {tops};")
    server.settle()
    sweep(server, now=0)
    assert starts(server) == [4, 5]
    assert server.ask("SELECT * FROM tops;") == [{"N": 1, "M": 1}]


def test_old_records_are_deleted_and_offsets_continue(server: Inside) -> None:
    server.done(RAW.format(more=", RETENTION_MS=1000"))
    for time in (1_000, 2_000, 3_000):
        server.done(f"INSERT INTO raw (ROWTIME, t, k) VALUES ({time}, {time}, 'x');")
    assert len(server.ask("SELECT * FROM raw;")) == 3
    sweep(server, now=3_500)
    rows = server.ask("SELECT t, ROWOFFSET AS o FROM raw;")
    assert rows == [{"T": 3_000, "O": 2}]
    sweep(server, now=10_000)
    server.done("INSERT INTO raw (t, k) VALUES (4000, 'x');")
    assert server.ask("SELECT t, ROWOFFSET AS o FROM raw;") == [{"T": 4_000, "O": 3}]
    server.done("CREATE STREAM again AS SELECT * FROM raw;")
    server.settle()
    (reply,), _ = server.run("DESCRIBE again EXTENDED;")
    (topic,) = reply["sourceDescription"]["queryOffsetSummaries"][0]["topicSummaries"]
    assert topic["offsets"] == [{"partition": 0, "logStartOffset": 3, "logEndOffset": 4, "consumerOffset": 4}]


def test_unread_records_stay(server: Inside) -> None:
    server.done(RAW.format(more=", RETENTION_MS=1000"))
    server.done("CREATE TABLE sums AS SELECT k, COUNT(*) AS n FROM raw GROUP BY k;")
    server.done("PAUSE ALL;")
    server.done("INSERT INTO raw (t, k) VALUES (1000, 'x');")
    sweep(server, now=2**60)
    server.done("RESUME ALL;")
    server.settle()
    assert server.ask("SELECT * FROM sums;") == [{"K": "x", "N": 1}]
    sweep(server, now=2**60)
    assert server.ask("SELECT * FROM raw;") == []


def test_the_processing_log_is_kept_for_a_week(server: Inside) -> None:
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    path = server.engine.root / "raw/x.json"
    path.parent.mkdir(parents=True)
    path.write_text("no JSON\n")
    server.settle()
    (row,) = server.ask("SELECT time FROM KSQL_PROCESSING_LOG;")
    sweep(server, row["TIME"] + 7 * DAY)
    assert len(server.ask("SELECT time FROM KSQL_PROCESSING_LOG;")) == 1
    sweep(server, row["TIME"] + 7 * DAY + 5_000)
    assert server.ask("SELECT time FROM KSQL_PROCESSING_LOG;") == []


def test_a_streams_old_rows_are_deleted_by_chunks(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied WITH (RETENTION_MS=1000) AS SELECT * FROM raw;")
    server.done("CREATE STREAM some AS SELECT * FROM copied WHERE t <> 0;")
    server.done("CREATE TABLE counted AS SELECT 1 AS one, COUNT(*) AS n, MAX(ROWOFFSET) AS o FROM some GROUP BY 1;")
    (counted,) = (query.id for query in server.engine.catalog.writers("COUNTED"))
    for number in range(4):
        write(server, number * 100, 100, START + number * 10_000, 1)
        server.settle()
    assert server.ask("SELECT * FROM counted;") == [{"ONE": 1, "N": 400, "O": 399}]
    server.done(f"PAUSE {counted};")
    write(server, 400, 250, START + 50_000, 1)
    server.settle()
    sweep(server, START + 60_000)
    offsets = [row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM copied;")]
    assert offsets == [*range(400, 650)]
    server.done(f"RESUME {counted};")
    server.settle()
    assert server.ask("SELECT * FROM counted;") == [{"ONE": 1, "N": 650, "O": 649}]


MOST = "SELECT 1 AS one, COUNT(*) AS n, COUNT_DISTINCT(k) AS k, MAX(ROWOFFSET) AS o FROM {source} GROUP BY 1"


def chunk_tables(server: Inside) -> list[str]:
    rows = server.engine._cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'log' ORDER BY table_name"
    ).fetchall()
    return [name for (name,) in rows]


def fill_chunks(server: Inside, monkeypatch: pytest.MonkeyPatch, kept: int, count: int) -> None:
    """Make a stream of ``count`` chunks of 100 records, of which a sweep keeps ``kept``, and a selection of it."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr(chunks, "KEPT", kept)
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    server.done("CREATE STREAM odd AS SELECT * FROM copied WHERE t % 2 = 1;")
    for number in range(count):
        write(server, number * 100, 100, START + number * 100, 1)
        server.settle()


@pytest.fixture
def dropped(server: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """A stream of 1,000 records whose first 700 are no longer in the database, and a selection of it."""
    fill_chunks(server, monkeypatch, kept=2, count=10)
    assert len(chunk_tables(server)) == 10
    sweep(server, 2**60)
    assert len(chunk_tables(server)) == 3
    assert server.engine.disk_use().database > 0  # there are chunks without a table
    return server


def test_rows_of_files_are_not_stored_twice(dropped: Inside) -> None:
    server = dropped
    for source, count, last in (("copied", 1_000, 999), ("odd", 500, 999)):
        server.done(f"CREATE TABLE t_{source} AS {MOST.format(source=source)};")
        server.settle()
        assert server.ask(f"SELECT n, k, o FROM t_{source};") == [{"N": count, "K": count, "O": last}]
        offsets = [row["O"] for row in server.ask(f"SELECT ROWOFFSET AS o FROM {source};")]
        assert offsets == list(range(0 if source == "copied" else 1, 1_000, 1_000 // count))
    write(server, 1_000, 100, START + 1_000, 1)
    server.settle()
    assert server.ask("SELECT n, k, o FROM t_copied;") == [{"N": 1_100, "K": 1_100, "O": 1_099}]
    assert len(server.ask("SELECT k FROM odd;")) == 550


@pytest.mark.parametrize("drop", ["DROP STREAM odd; DROP STREAM copied;", "TERMINATE ALL;"])
def test_dropped_chunks_are_rebuilt_when_their_query_ends(dropped: Inside, drop: str) -> None:
    server = dropped
    server.done(drop)
    if drop.startswith("DROP"):
        for name in ("copied", "odd"):
            topic = f"KAFKA_TOPIC='{name.upper()}', VALUE_FORMAT='JSON'"
            server.done(f"CREATE STREAM {name} (t BIGINT, k VARCHAR) WITH ({topic});")
    for path in (server.engine.root / "raw").iterdir():
        path.unlink()
    offsets = sorted(row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM copied;"))
    assert offsets == list(range(1_000))
    assert sorted(row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM odd;")) == list(range(1, 1_000, 2))


@pytest.mark.parametrize("source", ["copied", "odd"])
def test_chunks_stay_until_clients_have_read_them(
    server: Inside, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    fill_chunks(server, monkeypatch, kept=0, count=3)
    statement = parse_statement(f"SELECT * FROM {source} EMIT CHANGES;")
    with closing(TransientQuery(server.engine, statement, {})) as query:
        rows = query.rows()
        next(rows)
        clients = {client.topic: [client.positions] for client in server.engine._clients}
        for read, tables in (({}, 3), (clients, 1)):
            sweep(server, 0, {topic: [read.get(topic, [{}])[0]] for topic in clients})
            assert len(chunk_tables(server)) == tables
        assert len(list(rows)) == (299 if source == "copied" else 149)


def test_files_that_are_needed_to_rebuild_rows_are_not_deleted(dropped: Inside) -> None:
    server = dropped
    for name in ("more.json", "newest.json"):
        write(server, 5_000, 100, START, 1, name)
        server.settle()
    for _ in range(2):
        retention.delete_read_files(server.engine._cursor, server.engine._topics(), 2**60, {})
        assert sorted(path.name for path in (server.engine.root / "raw").iterdir()) == ["live.json", "newest.json"]
    assert len(server.ask("SELECT * FROM copied;")) == 1_200


def test_rows_are_kept_if_files_are_deleted(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr(chunks, "KEPT", 0)
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    for number in range(4):
        write(server, number * 100, 100, START, 1)
        server.settle()
    retention.sweep(server.engine._cursor, server.engine._topics(), 2**60, {}, files_stay=False)
    assert len(chunk_tables(server)) == 4


def test_a_missing_file_is_reported_to_queries_that_need_its_rows(dropped: Inside) -> None:
    server = dropped
    for path in (server.engine.root / "raw").iterdir():
        path.unlink()
    server.done(f"CREATE TABLE later AS {MOST.format(source='copied')};")
    server.settle()
    assert server.ask("SELECT n FROM later;") == [{"N": 300}]
    (later,) = server.engine.catalog.writers("LATER")
    loggers = {row["LOGGER"] for row in server.ask("SELECT logger FROM KSQL_PROCESSING_LOG;")}
    assert any(later.id in logger for logger in loggers)


def test_a_file_that_was_rewritten_is_reported_and_not_read_again(dropped: Inside) -> None:
    server = dropped
    path = server.engine.root / "raw/live.json"
    path.write_text(path.read_text().replace("a long key", "A LONG KEY"))
    server.done(f"CREATE TABLE later AS {MOST.format(source='copied')};")
    server.settle()
    assert server.ask("SELECT n FROM later;") == [{"N": 300}]
    rows = server.ask("SELECT logger, message->deserializationError->errorMessage AS m FROM KSQL_PROCESSING_LOG;")
    (later,) = server.engine.catalog.writers("LATER")
    assert any(later.id in row["LOGGER"] and "has changed since it was read" in row["M"] for row in rows)


def test_chunks_with_inserted_records_are_kept(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr(chunks, "KEPT", 0)
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    for number in range(4):
        write(server, number * 99, 99, START, 1)
        server.settle()
        if number == 1:
            server.done(f"INSERT INTO raw (t, k) VALUES ({START}, 'inserted');")
        else:
            write(server, 1_000 + number, 1, START, 1)
        server.settle()
    sweep(server, 2**60)
    assert [name.rpartition(" ")[2] for name in chunk_tables(server)] == ["100", "300"]
    assert len(server.ask("SELECT * FROM copied;")) == 400
    assert [row["K"] for row in server.ask("SELECT k FROM copied;")].index("inserted") == 199


def test_small_segments_of_a_growing_file_are_merged(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_FEW", 2)
    server.done(RAW.format(more=""))
    server.done("CREATE TABLE sums AS SELECT 1 AS one, COUNT(*) AS n, MAX(ROWOFFSET) AS o FROM raw GROUP BY 1;")
    for number in range(10):
        write(server, number, 3, START, 1)
        if number == 8:
            server.done("PAUSE ALL;")
        server.settle()
    cursor = server.engine._cursor
    sweep(server, 0)
    merged = cursor.execute("SELECT seq, start_byte, records FROM meta.segments ORDER BY seq").fetchall()
    assert [(seq, records) for seq, _, records in merged] == [(0, 24), (8, 3), (9, 3)]
    server.done("RESUME ALL;")
    server.done("CREATE TABLE later AS SELECT 1 AS one, COUNT(*) AS n, MAX(ROWOFFSET) AS o FROM raw GROUP BY 1;")
    write(server, 0, 3, START, 1)
    server.settle()
    for table in ("sums", "later"):
        assert server.ask(f"SELECT * FROM {table};") == [{"ONE": 1, "N": 33, "O": 32}]


def test_files_are_deleted_only_when_asked_read_and_old(tmp_path: Path) -> None:
    with inside(tmp_path) as server:
        server.done(RAW.format(more=""))
        server.done("CREATE TABLE sums AS SELECT 1 AS one, COUNT(*) AS n, MAX(ROWOFFSET) AS o FROM raw GROUP BY 1;")
        folder = server.engine.root / "raw"
        for name in ("a.json", "b.json", "damaged.json.gz", "unread.json", "z.json"):
            write(server, 0, 10, START, 1, name)
            if name == "unread.json":
                server.done("PAUSE ALL;")
            server.settle()
            if name != "b.json":
                os.utime(folder / name, (1_000, 1_000))
        cursor = server.engine._cursor

        def delete() -> list[str]:
            retention.delete_read_files(cursor, server.engine._topics(), 2_000_000, {})
            return sorted(path.name for path in folder.iterdir())

        sweep(server, 2**60)
        assert len(list(folder.iterdir())) == 5
        assert delete() == ["b.json", "damaged.json.gz", "unread.json", "z.json"]
        server.done("RESUME ALL;")
        server.settle()
        assert delete() == ["b.json", "damaged.json.gz", "z.json"]
        assert server.ask("SELECT n FROM sums;") == [{"N": 40}]
    with inside(tmp_path) as server:
        write(server, 0, 10, START, 1, "a.json")  # a new file of that name
        server.settle()
        assert server.ask("SELECT n FROM sums;") == [{"N": 50}]
        offsets = [row["O"] for row in server.ask("SELECT ROWOFFSET AS o FROM raw;")]
        assert len(offsets) == len(set(offsets))


def test_a_server_killed_after_it_deleted_a_file_continues(server: Inside) -> None:
    server.done(RAW.format(more=""))
    server.done("CREATE TABLE sums AS SELECT 1 AS one, COUNT(*) AS n FROM raw GROUP BY 1;")
    write(server, 0, 10, START, 1, "a.json")
    write(server, 0, 10, START, 1, "b.json")
    server.settle()
    (server.engine.root / "raw/a.json").unlink()
    retention.delete_read_files(server.engine._cursor, server.engine._topics(), 0, {})
    assert server.engine._cursor.execute("SELECT path FROM meta.segments").fetchall() == [("b.json",)]
    write(server, 0, 10, START, 1, "c.json")
    server.settle()
    assert server.ask("SELECT n FROM sums;") == [{"N": 30}]


def test_disk_use_names_topics_and_queries(server: Inside) -> None:
    server.done(RAW.format(more=""))
    server.done("CREATE STREAM copied AS SELECT * FROM raw;")
    server.done("CREATE TABLE sums AS SELECT k, COUNT(*) AS n FROM raw GROUP BY k;")
    server.done("INSERT INTO raw (t, k) VALUES (1000, 'x');")
    write(server, 0, 100_000, START, 1)
    server.settle()
    server.engine._cursor.execute("CHECKPOINT")
    use = server.engine.disk_use()
    (sums,) = server.engine.catalog.writers("SUMS")
    assert use.database == (server.data / "embedded.duckdb").stat().st_size
    assert use.files == {"raw": (server.engine.root / "raw/live.json").stat().st_size}
    assert use.topics["COPIED"] > 500_000
    assert 0 < use.topics["raw"] < 500_000
    assert use.queries[sums.id] > 500_000
    assert sum([*use.topics.values(), *use.queries.values()]) <= use.database
    assert "largest topic COPIED" in use.text()


def test_a_simulated_week_is_flat(server: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """All days have the same number of records, and each day has its own keys."""
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 5_000)
    monkeypatch.setattr(segments, "_FEW", 2)
    server.done(RAW.format(more=""))
    server.done(f"CREATE STREAM copied WITH (RETENTION_MS={DAY}) AS SELECT * FROM raw;")
    server.done(HOURLY.format(source="copied"))
    database = server.data / "embedded.duckdb"
    sizes = []
    for day in range(14):
        for part in range(4):
            write(server, (day * 4 + part) * 5_000, 5_000, START + day * DAY + part * DAY // 4, DAY // 20_000)
            server.settle()
        sweep(server, START + (day + 1) * DAY)
        server.engine._cursor.execute("CHECKPOINT")
        sizes.append(database.stat().st_size)
    assert max(sizes[7:]) <= 1.1 * max(sizes[3:7]), sizes
    assert len(starts(server)) == 2
