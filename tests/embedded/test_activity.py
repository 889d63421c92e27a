"""The status line of ``serve``: how much was read, the newest event, how far behind the queries are, and the disk."""

from __future__ import annotations

from pathlib import Path

from opensea_metrics.deploy.embedded.activity import Activity, activity
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.statements.statement_runner import (
    Statements,
    StatementsRequest,
)
from opensea_metrics.deploy.output.progress import ServerStatusLine
from tests.embedded.topic import running

STATEMENTS = """
CREATE STREAM raw (t BIGINT, k VARCHAR) WITH (KAFKA_TOPIC='raw', VALUE_FORMAT='JSON', TIMESTAMP='t', PARTITIONS=1);
CREATE STREAM flat AS SELECT k FROM raw EMIT CHANGES;
CREATE TABLE counted AS SELECT k, COUNT(*) AS n FROM flat GROUP BY k EMIT CHANGES;
CREATE STREAM own (k VARCHAR) WITH (KAFKA_TOPIC='own', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM ignored AS SELECT k FROM own EMIT CHANGES;
INSERT INTO own (k) VALUES ('x');
"""


def drain(engine: Engine) -> None:
    while engine.work():
        pass


def test_it_counts_what_comes_from_outside_once(tmp_path: Path) -> None:
    with running(tmp_path) as engine:
        Statements(engine).run(StatementsRequest(STATEMENTS, {}, {}))
        drain(engine)
        before = activity(engine, ["IGNORED"])
        assert (before.read, before.behind, before.newest) == (0, 0, None)
        (engine.root / "raw").mkdir(parents=True)
        values = [f'{{"t":{1_789_466_400_000 + second * 1000},"k":"a"}}\n' for second in (5, 62, 7)]
        (engine.root / "raw/raw+0+0000000000.json").write_text("".join(values))
        engine.work()
        drain(engine)
        after = activity(engine, ["IGNORED"])
        assert (after.read, after.behind, after.newest) == (3, 0, 1_789_466_462_000)
        assert after.free > 0
        assert after.database >= engine.database_file.stat().st_size > 0
        assert activity(engine, []).read == 4


def test_the_line_has_the_rate_since_the_line_before() -> None:
    line = ServerStatusLine()
    first = line.text(Activity(1_000, 0, None, 0, 10**12))
    assert first == "0 events/s · no event yet · 0 behind · disk 0 MB, 1,000 GB free"
    line._before = (line._before[0] - 10, 1_000) if line._before else None
    text = line.text(Activity(42_000, 1_234, 1_789_466_462_000, 48_100_000, 69 * 10**9))
    rate, rest = text.split(" events/s · ")
    assert 4_000 < int(rate.replace(",", "")) <= 4_100
    assert rest == "newest 2026-09-15 10:01:02 UTC · 1,234 behind · disk 48 MB, 69 GB free"
