"""Keys and headers from the files that the S3 sink writes beside files of values."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from opensea_metrics.sql.language.statements.parser import parse_statement
from tests.embedded.topic import CountedTopic, lines, rows, running

STREAM = (
    "CREATE STREAM keyed (id {kind} KEY, h ARRAY<STRUCT<key VARCHAR, value BYTES>> HEADERS, k VARCHAR, a BIGINT)"
    " WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', KEY_FORMAT='{form}');"
)
SELECT = "SELECT id, a, h, ROWPARTITION, ROWOFFSET FROM keyed;"


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
@pytest.mark.parametrize(
    ("kind", "form", "keys", "expected"),
    [
        ("VARCHAR", "KAFKA", [b'"one"', b"null", b'"\xc3\xa9 \\"q\\""'], ["one", None, 'é "q"']),
        ("BIGINT", "JSON", [b"1", b"22", b"-3"], [1, 22, -3]),
    ],
)
def test_keys_and_headers_belong_to_values_by_line(
    tmp_path: Path, suffix: str, kind: str, form: str, keys: list[bytes], expected: list[object]
) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        topic.write("t+1+0000000040.json.gz", lines("x", 3))
        topic.write(f"t+1+0000000040.keys{suffix}", b"".join(key + b"\n" for key in keys))
        headers = b'{"headers":[{"key":"a","value":"b"},{"key":"c","value":null}]}\n{"headers":[]}\nnull\n'
        topic.write(f"t+1+0000000040.headers{suffix}", headers)
        topic.write("t+0+0000000000.json", lines("none"))
        engine.execute(parse_statement(STREAM.format(kind=kind, form=form)), {})
        records = rows(engine, SELECT)
        assert [row[0] for row in records if row[3] == 1] == expected
        assert [row[0] for row in records if row[3] == 0] == [None]
        assert [row[4] for row in records if row[3] == 1] == [40, 41, 42]
        first = next(row[2] for row in records if row[4] == 40)
        assert first == [{"KEY": "a", "VALUE": b"b"}, {"KEY": "c", "VALUE": None}]
        assert [row[2] for row in records if row[4] != 40] == [[], [], []]
        # Companions are not counted as files of values.
        assert topic.counts() == {"x": 3, "none": 1}
        assert topic.reports() == []


def test_companions_that_cannot_be_used_are_reported(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        topic = CountedTopic(engine, "t")
        topic.write("t+1+0000000000.json.gz", lines("x", 3))
        topic.write("t+1+0000000000.keys.json", b'"a"\n"b"\n')
        topic.write("t+0+0000000000.json", lines("y"))
        (topic.folder / "t+0+0000000000.keys.avro").write_bytes(b"Obj")
        (topic.folder / "t+0+0000000007.keys.json.gz").write_bytes(gzip.compress(b'"gone"\n'))
        engine.execute(parse_statement(STREAM.format(kind="VARCHAR", form="KAFKA")), {})
        assert sorted((row[3], row[4], row[0]) for row in rows(engine, SELECT) if row[0]) == [(1, 0, "a"), (1, 1, "b")]
        assert topic.counts() == {"x": 3, "y": 1}
        reasons = "\n".join(topic.reasons())
        assert "the file of keys beside this file has fewer lines than this file" in reasons
        assert "keys and headers are read from JSON only" in reasons
        assert "keys or headers without a file of values" in reasons
