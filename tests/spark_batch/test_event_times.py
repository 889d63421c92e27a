"""Event times of lines without event_time: the Python function and the SQL give the same."""

from __future__ import annotations

import json

import duckdb
import pyarrow as pa

from opensea_metrics.producer import envelope
from opensea_metrics.producer.envelope import payload_time_ms
from opensea_metrics.producer.sample import frames
from opensea_metrics.spark_batch import chunk_reading
from opensea_metrics.spark_batch.event_times import default_for, event_time_sql, stamped_sql
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied, check
from opensea_metrics.sql.language.catalog.sources import Source
from opensea_metrics.sql.language.lowering.duckdb.setup import register_functions
from opensea_metrics.sql.language.lowering.records import rows as records
from opensea_metrics.sql.language.lowering.records.capitals import capitals
from opensea_metrics.sql.language.project.project import load_project
from opensea_metrics.sql.language.statements.parser import parse_script

SENT = "2026-09-15T11:00:00Z"
SENT_MS = 1_789_470_000_000
TIMES: tuple[object, ...] = (
    "2026-09-15T10:00:00.123456Z", "2026-09-15T10:00:00Z", "2026-09-15T10:00:00",
    "2026-09-15T10:00:00.1Z", "2026-09-15T10:00:00.123456789Z", "2026-09-15T10:00:00.1234567890Z",
    "2026-09-15T10:00:00+02:00", "2026-09-15T10:00:00-0530", "2026-09-15T10:00:00+24:00",
    "2026-09-15T10:00:00+05:75", "2026-09-15T10:00:00+23:59", "2026-09-15 10:00:00Z",
    "2026-9-15T10:00:00Z", "2026-02-30T10:00:00Z", "2026-09-15T24:00:00Z",
    "2026-09-15T24:00:00.000000Z", "2026-09-15T23:59:60Z", "1969-12-31T23:59:59.999Z",
    "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+02:00",
    "1969-12-31T23:00:00-02:00", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999-01:00",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
    "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "", "x", "2026-09-15T10:00:00.Z",
    "2026-09-15T10:00:00z", " 2026-09-15T10:00:00Z", "2026-09-15T10:00:00Z\n",
    "2026-09-15T10:00:00+02", "\u0662026-09-15T10:00:00Z", "2026-09-15T10:00:00.12x456Z",
    "2026-13-15T10:00:00.123456Z", "2026-09-15T10:60:00Z", "10000-01-01T00:00:00Z",
    None, 5, SENT_MS, {}, [], True,
)  # fmt: skip
ODD = (
    b"", b"x", b"{", b"[]", b"5", b"null", b"{}", b'{"payload":5}', b'{"payload":{"payload":7}}',
    b'{"payload":{"payload":7,"sent_at":"%s"}}' % SENT.encode(),
    b' { "payload":{"sent_at":"%s"}}' % SENT.encode(),
    b'{"payload":{"sent_at":"%s"}} x' % SENT.encode(),
    b'{"payload":{"sent_at":"2026-09-15T11:00:00\\u005A"}}',
    b'{"ref":0,"payload":{"status":"ok","response":{}},"topic":"collection:*","event":"phx_reply"}',
)  # fmt: skip


def by_sql(lines: list[bytes]) -> list[tuple[int | None, str]]:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        return database.execute(
            f"SELECT {event_time_sql('line')}, {stamped_sql('line')} "
            "FROM (SELECT unnest($1::VARCHAR[]) AS line)",
            [[line.decode() for line in lines]],
        ).fetchall()


def test_times_of_all_forms() -> None:
    lines = [
        json.dumps({"payload": {"sent_at": sent_at, "payload": {"event_timestamp": time}}}).encode()
        for time in TIMES
        for sent_at in (None, SENT, "soon")
    ]
    expected = [payload_time_ms(line) for line in lines]
    found = by_sql(lines)
    assert [time for time, _ in found] == expected
    assert len(set(expected)) > 9
    for line, time, (_, stamped) in zip(lines, expected, found, strict=True):
        whole = json.loads(line)
        assert json.loads(stamped) == (whole if time is None else {"event_time": time, **whole})


def test_odd_lines() -> None:
    lines = list(ODD)
    found = by_sql(lines)
    assert [time for time, _ in found] == [payload_time_ms(line) for line in lines]
    assert [time for time, _ in found].count(SENT_MS) == 3
    for line, (time, stamped) in zip(lines, found, strict=True):
        if time is None:
            assert stamped == line.decode()


def test_a_time_that_is_there_stays() -> None:
    for own in ("null", "5", '"x"', "1789466400000"):
        for space in ("", " "):
            line = f'{{{space}"event_time":{own},"payload":{{"sent_at":"{SENT}"}}}}'
            assert by_sql([line.encode()])[0][1] == line
    inside = f'{{"payload":{{"event_time":1,"sent_at":"{SENT}"}}}}'
    assert by_sql([inside.encode()])[0][1] == f'{{"event_time":{SENT_MS},{inside[1:]}'


def test_live_frames_have_the_same_time() -> None:
    """As the producer takes them, so that both archives agree."""
    lines, expected = [], []
    for frame in frames(3_000, 7, SENT_MS, 3_600_000, 0.2):
        record = envelope.decode(frame)
        if isinstance(record, envelope.Record):
            lines.append(b"{" + record.value.partition(b",")[2])
            expected.append(record.timestamp_ms)
    assert [payload_time_ms(line) for line in lines] == expected
    assert [time for time, _ in by_sql(lines)] == expected
    assert len(lines) > 2_500


WHOLE = """
CREATE STREAM raw (event_time BIGINT, event VARCHAR, payload STRUCT<sent_at VARCHAR, payload STRUCT<chain VARCHAR>>)
  WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', PARTITIONS=1, TIMESTAMP='event_time');
"""
OTHERS = (
    "event_time TIMESTAMP, payload STRUCT<payload STRUCT<chain VARCHAR>>",
    "event_time BIGINT, payload VARCHAR",
    "event_time BIGINT, payload STRUCT<sent_at BIGINT, payload STRUCT<chain VARCHAR>>",
    "event_time BIGINT, payload STRUCT<payload STRUCT<chain VARCHAR, event_timestamp BIGINT>>",
    "event_time BIGINT, payload STRUCT<chain VARCHAR>",
)


def stream(text: str) -> Source:
    (statement,) = parse_script(text, "raw.sql")
    return applied(Catalog(), statement, 0).sources["RAW"]


def decoded(source: Source, lines: list[str], by_default: bool) -> list[tuple[object, ...]]:
    """The rows of lines, with their event times as a default or spliced into all lines."""
    names = records.spelled(source, "\n".join(lines[:100]))
    default = default_for(source, names)
    assert default is not None
    texts = pa.array(lines, pa.large_string())
    odd = pa.array(capitals(names.capitalized).of(texts))
    timed = pa.array(['"event_time"' in line for line in lines])
    table = pa.table({"line": texts, "_off": pa.array(range(len(lines))), "_odd": odd, "_timed": timed})
    line = f"CASE WHEN _odd THEN {stamped_sql('line')} ELSE line END" if by_default else stamped_sql("line")
    given = f"SELECT {line} AS line, NULL AS path, NULL AS key, NULL::BIGINT AS ts, _off, _odd, _timed FROM lines"
    with chunk_reading.database() as (database, _):
        register_functions(database)
        database.register("lines", table)
        relation = records.decoded(
            given, source, names, "_odd", carried=("_off",), default=default if by_default else None
        )
        return database.execute(f"SELECT * EXCLUDE (_line) FROM ({relation}) ORDER BY _off").fetchall()


def test_a_default_is_what_a_line_gets_that_is_stamped() -> None:
    timed = [
        json.dumps({"event": "e", "payload": {"sent_at": sent_at, "payload": {"chain": "c", "event_timestamp": time}}})
        for time in TIMES
        for sent_at in (None, SENT, "soon")
    ]
    at = f'"sent_at":"{SENT}"'
    special = [
        f'{{"event_time":{own},"payload":{{{at}}}}}' for own in ("null", "5", "-5", '"x"', '"7"', "1789466400000")
    ]
    special += [
        f'{{"payload":{{"event_time":1,{at}}}}}', f'{{"payload":{{"x":"\\"event_time\\"",{at}}}}}',
        f'{{"EVENT_TIME":9,"payload":{{{at}}}}}', f'{{"Payload":{{{at}}}}}', f'{{"payload":{{"Sent_At":"{SENT}"}}}}',
        f'{{"event\\u005ftime":9,"payload":{{{at}}}}}', f'{{"payload":{{"sent\\u005fat":"{SENT}"}}}}',
        f'{{"payload":{{{at},"payload":{{"chain":5}}}}}}', f'{{"payload":{{{at},"payload":[]}}}}',
        f'{{"payload":{{{at},"payload":{{"chain":{{"a":1.50}}}}}}}}', f'[{{"payload":{{{at}}}}}]',
    ]  # fmt: skip
    lines = [*timed, *(line.decode() for line in ODD), *special]
    for source in (stream(WHOLE), check(load_project()).sources["OPENSEA_RAW_EVENTS"]):
        rows = decoded(source, lines, by_default=True)
        assert rows == decoded(source, lines, by_default=False)
        times = [row[0] for row in rows]
        assert len({time for time in times if time is not None}) > 9
        assert times[: len(timed)] == [payload_time_ms(line.encode()) for line in timed]


def test_streams_that_declare_the_payload_in_another_way_have_no_default() -> None:
    for columns in OTHERS:
        source = stream(WHOLE.replace(WHOLE[WHOLE.index("(") + 1 : WHOLE.index(")")], columns))
        assert default_for(source, records.spelled(source, '{"payload":{}}')) is None
    source = stream(WHOLE)
    assert default_for(source, records.spelled(source, '{"Payload":{}}')) is None
