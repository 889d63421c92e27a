"""Results: whole or not at all, replaced by the next run, with what there is to know about the run."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opensea_metrics.deploy import cli
from opensea_metrics.deploy.cli import batch
from opensea_metrics.spark_batch import publish
from opensea_metrics.spark_batch.job import Table
from opensea_metrics.sql.language.project.project import load_project
from tests.metrics import Rows, near
from tests.parts.s3 import S3
from tests.spark_batch.archives import (
    DAY_MS,
    SQL,
    START,
    TOPIC,
    add,
    needs,
    recomputed,
    request,
    write_sample,
)

Run = Callable[..., tuple[int, str, str]]
HOURS = ("--window", "1 hour", "--from", "2026-09-10", "--to", "2026-09-11", "--sql", str(SQL))


@pytest.fixture(scope="module", params=["duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of events; not to be changed."""
    made = write_sample(tmp_path_factory.mktemp("day"), 800)
    add(made, START, 9_000_000, [b"{bad"])
    return made


@pytest.fixture(scope="module")
def tables(day: Path, engine: str) -> dict[str, Rows]:
    return recomputed(day, request("1 hour", engine=engine))[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command; gives its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def runs(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return runs


class Place:
    """A folder or a bucket's path for results: its URL, and the files that are seen in it."""

    def __init__(self, url: str, fs: Any = None) -> None:
        self.url = url
        self._fs = fs

    def files(self) -> dict[str, bytes]:
        if self._fs is None:
            folder = Path(self.url)
            return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.exists() else {}
        root = self.url.partition("://")[2]
        found = self._fs.find(root)
        return {path.rsplit("/", 1)[-1]: self._fs.cat_file(path) for path in found}

    def unfinished(self) -> int:
        """Uploads that were begun and neither completed nor aborted."""
        if self._fs is None:
            return 0
        bucket = self.url.partition("://")[2].partition("/")[0]
        listed = self._fs.call_s3("list_multipart_uploads", Bucket=bucket)
        return len(listed.get("Uploads") or [])


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "folder":
        return Place(str(tmp_path / "results" / "hours"))
    server: S3 = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    fs = server.filesystem()
    if not fs.exists("results"):
        fs.call_s3("create_bucket", Bucket="results")
    return Place(f"s3a://results/{tmp_path.name}", fs)


def rows_of(files: dict[str, bytes], table: str, form: str) -> Rows:
    data = files[f"{table.lower()}.{form}"]
    if form == "ndjson":
        return [json.loads(line) for line in data.splitlines()]
    if form == "csv":
        lines = csv.DictReader(io.StringIO(data.decode()))
        return [{name: _number(text) for name, text in line.items()} for line in lines]
    read = pq.read_table(io.BytesIO(data))
    times = {"WINDOWSTART", "WINDOWEND", "WS", "WE"} & set(read.column_names)
    assert {str(read.schema.field(time).type) for time in times} <= {"timestamp[ms, tz=UTC]"}
    return list(read.cast(pa.schema([_as_read(field, times) for field in read.schema])).to_pylist())


def _number(text: str | None) -> Any:
    try:
        return float(text) if text else None
    except ValueError:
        return text


def _as_read(field: pa.Field, times: set[str]) -> pa.Field:
    return field.with_type(pa.int64()) if field.name in times else field


@pytest.mark.parametrize("form", ["parquet", "json", "csv"])
def test_a_file_a_table(
    run: Run, day: Path, engine: str, place: Place, form: str, tables: dict[str, Rows]
) -> None:
    arguments = ("--source", str(day), "--engine", engine, f"--to-{form}", place.url)
    code, out, err = run("recompute", "all", *HOURS, *arguments)
    assert code == 0, err
    total = sum(map(len, tables.values()))
    assert out.strip() == f"{total} rows of {len(tables)} tables in {place.url}"
    files = place.files()
    suffix = {"parquet": "parquet", "json": "ndjson", "csv": "csv"}[form]
    assert files.keys() == {"run.json", *(f"{name.lower()}.{suffix}" for name in tables)}
    for name, rows in tables.items():
        found = rows_of(files, name, suffix)
        assert [row.keys() for row in found] == [row.keys() for row in rows]
        for column in ("WINDOWSTART", "WINDOWEND", "COLLECTION", "SALES", "USD_VOLUME"):
            assert [r.get(column) for r in found] == near([r.get(column) for r in rows])


def test_one_row_of_one_table(run: Run, day: Path) -> None:
    hour = ("--window", "1 hour", "--from", "2026-09-10T05:00", "--to", "2026-09-10T06:00", "--sql", str(SQL))
    arguments = ("--source", str(day), "--engine", "duckdb", "--to-csv", "out")
    code, out, err = run("recompute", "global_1_hour", *hour, *arguments)
    assert code == 0, err
    assert out.strip() == "1 row of 1 table in out"


def test_what_there_is_to_know_about_a_run(
    run: Run, day: Path, engine: str, place: Place, tables: dict[str, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "kafka-secret")
    monkeypatch.setenv("OPENSEA_API_KEY", "opensea-secret")
    arguments = ("--source", str(day), "--engine", engine, "--to-parquet", place.url)
    code, out, err = run("recompute", "all", *HOURS, *arguments, "--log-level", "debug")
    assert code == 0
    text = place.files()["run.json"].decode()
    for secret in ("kafka-secret", "opensea-secret", *_secrets(place)):
        assert secret not in text + out + err
    facts = json.loads(text)
    assert facts["engine"] == engine
    assert facts["source"] == str(day)
    assert (facts["from"], facts["to"]) == ("2026-09-10T00:00:00Z", "2026-09-11T00:00:00Z")
    assert facts["windows"] == [{"size": "1 HOUR"}]
    assert facts["trailing"] is False
    assert facts["rows"] == {name: len(rows) for name, rows in tables.items()}
    files = [path for path in day.rglob("*.json.gz") if "day=10" in str(path)]
    assert facts["files"] == len(files)
    assert facts["bytes"] == sum(path.stat().st_size for path in files)
    records = facts["records"]
    assert records["read"] == records["in_period"] + records["set_aside"]
    assert sum(facts["set_aside"].values()) == records["set_aside"] >= 1
    assert facts["set_aside"]["not JSON"] == 1
    assert facts["damaged_files"] == {}
    assert facts["seconds"] > 0
    assert facts["began"].startswith("20")
    rendered = load_project(SQL, {"windows": "[{size: 1 HOUR}]"}).migrations
    assert [each["version"] for each in facts["migrations"]] == [m.version for m in rendered]
    assert facts["migrations"][1]["checksum"] == rendered[1].checksum
    assert "TOP_BY_KEY" in facts["functions"]


def _secrets(place: Place) -> list[str]:
    return [place._fs.secret] if place._fs is not None else []


def test_a_repeated_run_replaces_and_leaves_other_files(
    run: Run, day: Path, engine: str, place: Place
) -> None:
    arguments = ("--source", str(day), "--engine", engine, "--to-json", place.url)
    assert run("recompute", "all", *HOURS, *arguments)[0] == 0
    whole = place.files()
    part = ("--window", "1 hour", "--from", "2026-09-10T05:00", "--to", "2026-09-10T07:00", "--sql", str(SQL))
    assert run("recompute", "global", *part, *arguments)[0] == 0
    files = place.files()
    assert files.keys() == whole.keys()
    assert len(rows_of(files, "global_1_hour", "ndjson")) == 2
    assert files["asset_1_hour.ndjson"] == whole["asset_1_hour.ndjson"]
    assert json.loads(files["run.json"])["rows"].keys() == {"GLOBAL_1_HOUR", "TOP_COLLECTIONS_1_HOUR"}


@pytest.mark.parametrize("error", [RuntimeError("wires cut"), OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_run_leaves_what_was_there(
    run: Run, day: Path, engine: str, place: Place, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--source", str(day), "--engine", engine, "--to-parquet", place.url)

    def failing(file: BinaryIO, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        if "SLUG" not in schema.names:
            return publish._parquet(file, schema, batches)
        file.write(b"half of it" * 1_000_000)
        raise error

    def fails() -> None:
        with monkeypatch.context() as patched:
            patched.setitem(publish._WRITERS, "parquet", failing)
            if isinstance(error, OSError):
                code, _, err = run("recompute", "all", *HOURS, *arguments)
                assert code == 1
                assert err.startswith(f"error: Cannot write results to {place.url}: ")
                assert "disk full" in err
                return
            patched.setattr(sys, "argv", ["opensea-metrics", "recompute", "all", *HOURS, *arguments])
            with pytest.raises((type(error), SystemExit)):
                cli.main()

    fails()
    assert place.files() == {}
    assert place.unfinished() == 0
    assert run("recompute", "all", *HOURS, *arguments)[0] == 0
    whole = place.files()
    assert "run.json" in whole
    fails()
    assert place.files() == whole
    assert place.unfinished() == 0


@pytest.fixture
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("computed before the place for the results was checked")

    monkeypatch.setattr(batch, "computed", fails)


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_place_that_cannot_be_written(run: Run, day: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    url = str(tmp_path / "file" / "results")
    code, _, err = run("recompute", "global", *HOURS, "--source", str(day), "--to-parquet", url)
    assert code == 1
    assert err.startswith(f"error: Cannot write results to {url}: ")


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_folder_without_permission(
    run: Run, day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system says that no folder is writable, because tests may run as root."""
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    url = str(tmp_path / "results")
    code, _, err = run("recompute", "global", *HOURS, "--source", str(day), "--to-csv", url)
    assert (code, err) == (1, f"error: Cannot write results to {url}: Permission denied\n")


@pytest.mark.usefixtures("nothing_is_computed")
def test_a_bucket_that_is_not_there(run: Run, day: Path, s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    code, _, err = run("recompute", "global", *HOURS, "--source", str(day), "--to-parquet", "s3a://nobucket/x")
    assert code == 1
    assert err.startswith("error: Cannot write results to s3a://nobucket/x: ")
    assert "bucket" in err


def test_a_run_that_is_terminated_deletes_its_temporary_files(
    run: Run, day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = signal.getsignal(signal.SIGTERM)

    def terminated(file: BinaryIO, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        assert list(temporary.iterdir())
        file.write(b"half of it")
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setitem(publish._WRITERS, "parquet", terminated)
    arguments = ("--source", str(day), "--engine", "duckdb", "--to-parquet", "out")
    code, _, err = run("recompute", "global", *HOURS, *arguments)
    assert code == 128 + signal.SIGTERM, err
    assert list(temporary.iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_tables_are_shown(run: Run, day: Path, engine: str) -> None:
    code, out, err = run("recompute", "global", *HOURS, "--source", str(day), "--engine", engine)
    assert code == 0
    assert "GLOBAL_1_HOUR" in out
    assert "TOP_COLLECTIONS_1_HOUR" in out
    assert "2026-09-10T00:00:00Z to 2026-09-11T00:00:00Z" in err
    assert "1 record could not be read: not JSON" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2026-09-10T10:30", "--window", "1 hour"), "give 2026-09-10T10:00:00Z or 2026-09-10T11:00:00Z"),
        (("--to", "2026-09-10T10:00:10"), "cuts a window of 30 SECONDS in two"),
        (("--window", "1 month"), "'1 month' is not a duration"),
        (("--from", "soon"), "'soon' is not a time"),
        (("--window", "1 day", "--trailing"), "--trailing windows end at --to"),
        (("nothing", "--window", "1 day"), "there is no table 'nothing' for this window. Choose one of: global, "),
        (("sales", "--window", "1 day"), "SALES has a row for each event"),
        (("--from", "2030-01-01", "--to", "2030-01-02"), "has no files of that period"),
        (("--source", "/nowhere"), "There is no archive at /nowhere"),
        (("--engine", "polars"), "polars"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    run: Run, day: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run("recompute", "--source", str(day), "--sql", str(SQL), *arguments)
    assert (code, out) == (1, "")
    assert message in " ".join(err.split())


OWN = """
CREATE TABLE sales_by_chain WITH (VALUE_FORMAT='JSON', RETENTION_MS=-1) AS
  SELECT collection, COUNT(*) AS sales, SUM(usd) AS usd_volume
  FROM sales WINDOW TUMBLING (SIZE 8 HOURS, RETENTION 2 DAYS, GRACE PERIOD 1 DAY)
  GROUP BY collection EMIT CHANGES;
"""
REFUSED = """
CREATE TABLE rounded WITH (VALUE_FORMAT='JSON') AS
  SELECT collection, LEN(FORMAT_DATE(FROM_DAYS(1), 'b')) * SUM(usd) AS n FROM sales WINDOW TUMBLING (SIZE 1 HOUR)
  GROUP BY collection EMIT CHANGES;
CREATE TABLE latest WITH (VALUE_FORMAT='JSON') AS
  SELECT collection, COALESCE(collection, ARRAY[collection]) AS n, COUNT(*) AS c
  FROM sales WINDOW TUMBLING (SIZE 1 HOUR)
  GROUP BY collection EMIT CHANGES;
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project with statements of one's own beside."""
    root = tmp_path / "own"
    for path in SQL.rglob("*"):
        if path.suffix in (".sql", ".yml"):
            target = root / path.relative_to(SQL)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (root / "migrations/V900__own.sql").write_text(OWN)
    (root / "migrations/V901__refused.sql").write_text(REFUSED)
    return root


def test_a_table_of_ones_own(run: Run, day: Path, engine: str, project: Path, tmp_path: Path) -> None:
    arguments = ("--source", str(day), "--engine", engine, "--sql", str(project))
    code, _, err = run("recompute", "sales_by_chain", *arguments, "--to-json", str(tmp_path / "out"))
    assert code == 0, err
    files = Place(str(tmp_path / "out")).files()
    rows = rows_of(files, "sales_by_chain", "ndjson")
    assert {row["WINDOWEND"] - row["WINDOWSTART"] for row in rows} == {DAY_MS // 3}
    hourly = recomputed(day, request("8 hours", wanted="global", engine=engine))[0]["GLOBAL_8_HOURS"]
    slugged = sum(row["SALES"] for row in rows)
    assert 0 < slugged <= sum(row["SALES"] for row in hourly)
    facts = json.loads(files["run.json"])
    assert facts["windows"] == [{"size": "8 HOURS"}]
    assert (facts["from"], facts["to"]) == ("2026-09-10T00:00:00Z", "2026-09-11T00:00:00Z")
    code, _, err = run("recompute", "sales_by_chain", *arguments, "--window", "1 hour")
    assert code == 1
    assert "SALES_BY_CHAIN has a window of its own, 8 HOURS: omit --window" in " ".join(err.split())
    code, _, err = run("recompute", "sales_by_chain", *arguments, "--to", "2026-09-10T09:00")
    assert code == 1
    assert "cuts a window of 8 HOURS in two" in err


def test_records_that_a_statement_leaves_out_are_counted(day: Path, engine: str, project: Path) -> None:
    (project / "migrations/V902__sold.sql").write_text(
        "CREATE STREAM sold WITH (VALUE_FORMAT='JSON') AS SELECT event, payload->payload->chain AS chain"
        " FROM opensea_raw_events WHERE event = 'item_sold' EMIT CHANGES;"
        "CREATE TABLE sold_by_chain WITH (VALUE_FORMAT='JSON') AS SELECT chain, COUNT(*) AS n FROM sold"
        " WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY chain EMIT CHANGES;"
    )
    tables, _, counts = recomputed(day, request(wanted="sold_by_chain", engine=engine), project)
    whole, _, all_counts = recomputed(day, request("1 hour", wanted="global", engine=engine))
    assert sum(row["N"] for row in tables["SOLD_BY_CHAIN"]) > 100
    assert (counts.read, counts.used) == (all_counts.read, all_counts.used)
    assert counts.used == sum(row["EVENTS"] for row in whole["GLOBAL_1_HOUR"])


@pytest.mark.parametrize("kind", ["duckdb", "spark"])
@pytest.mark.parametrize(
    ("table", "place", "feature"),
    [
        ("rounded", "3:52", "FORMAT_DATE with 'b' in its pattern"),
        ("latest", "6:22", "COALESCE(STRING, ARRAY<STRING>)"),
    ],
)
def test_what_an_engine_does_not_run_is_refused_before_anything_is_read(
    run: Run, day: Path, project: Path, kind: str, table: str, place: str, feature: str
) -> None:
    code, out, err = run("recompute", table, "--source", str(day), "--engine", kind, "--sql", str(project))
    assert (code, out) == (1, "")
    engine = {"duckdb": "DuckDB", "spark": "Spark"}[kind]
    words = f"{feature} is not supported by recompute on {engine}. ksqlDB supports it."
    assert f"V901__refused.sql:{place}: {words}" in err


def test_an_archive_of_another_topic(run: Run, day: Path, engine: str) -> None:
    """The raw topic is a setting: the folder may have any name."""
    other = day.parent / "a-copy"
    if not other.exists():
        other.symlink_to(day)
    code, _, err = run("recompute", "global", *HOURS, "--source", str(other), "--engine", engine)
    assert code == 0, err
    assert TOPIC not in err


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("ndjson", b'{"A":123456789012345678901234.50,"L":[1.20],"Y":"AQI="}\n'),
        ("csv", b"A,L,Y\n123456789012345678901234.50,[1.20],AQI=\n"),
    ],
)
def test_decimals_have_all_their_digits(tmp_path: Path, form: str, written: bytes) -> None:
    kind = pa.decimal128(38, 2)
    schema = pa.schema([("A", kind), ("L", pa.list_(kind)), ("Y", pa.binary())])
    row = {"A": Decimal("123456789012345678901234.50"), "L": [Decimal("1.20")], "Y": b"\x01\x02"}
    table = Table("T", schema, iter([pa.RecordBatch.from_pylist([row], schema)]))
    with publish.published(str(tmp_path)) as folder:
        assert publish.write_tables(folder, [table], form) == {"T": 1}
    assert (tmp_path / f"t.{form}").read_bytes() == written
