"""reconcile tells what differs between a server's windows and the archive's, and why."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opensea_metrics.deploy import cli, commands
from opensea_metrics.deploy.client import KsqlClient
from opensea_metrics.deploy.demo import wait_until_read
from opensea_metrics.deploy.embedded import server
from opensea_metrics.producer.archive.layout import HOUR_MS, archive_file
from tests.spark_batch.archives import (
    SQL,
    START,
    TOPIC,
    add,
    compacted,
    event,
    needs,
    write_sample,
)

HALF = HOUR_MS // 2
VARIABLES = {
    "windows": "[{size: 30 MINUTES}, {size: 1 HOUR, slide: 30 MINUTES}]",
    "grace": "1 HOUR",
    "retention": "2 HOURS",
    "partitions": "3",
}
LATE = START + 5 * 60_000
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", params=["duckdb"])
def engine(request: pytest.FixtureRequest) -> str:
    needs(request.param)
    return str(request.param)


@dataclass(frozen=True)
class Streamed:
    """A server that has read six hours, and then records that were too late; ``topic`` has them all,
    ``counted`` what it counted."""

    url: str
    topic: Path
    counted: Path


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streamed]:
    data, made = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("made")
    counted = write_sample(made, 1_200, START, 6 * HOUR_MS)
    for hour in range(6):
        times = [START + hour * HOUR_MS + n * 60_000 for n in range(60)]
        lines = [event(t, "whale", f"n/{n % 7}") for n, t in enumerate(times)]
        add(counted, times[0], 1_000_000 + hour * 60, lines, 2)
    with server.running(data) as url:
        client = KsqlClient(url)
        # Longer than the files, so that the server keeps all windows of them.
        commands.apply(client, SQL, {**VARIABLES, "retention": "1 DAYS"})
        topic = data / "topics" / TOPIC
        shutil.copytree(counted, topic, dirs_exist_ok=True)
        wait_until_read(client, 240)
        add(topic, START, 1_000_360, [event(LATE, "whale", "n/late"), event(LATE, "latecomer")], 2)
        wait_until_read(client, 240)
        yield Streamed(url, topic, counted)


@pytest.fixture
def archive(streamed: Streamed, tmp_path: Path) -> Path:
    """What the server counted, to be changed."""
    return Path(shutil.copytree(streamed.counted, tmp_path / TOPIC))


@pytest.fixture
def run(
    streamed: Streamed,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    """Runs the command; gives its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    variables = [each for name, value in VARIABLES.items() for each in ("--var", f"{name}={value}")]

    def runs(table: str, source: Path, *arguments: str) -> tuple[int, str, str]:
        common = ("--server", streamed.url, "--sql", str(SQL), "--engine", engine, *variables)
        words = ("reconcile", "--table", table, "--source", str(source), *common, *arguments)
        monkeypatch.setattr(sys, "argv", ["opensea-metrics", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return runs


def differing(run: Run, table: str, source: Path, *arguments: str) -> list[dict[str, Any]]:
    code, out, err = run(table, source, "--json", *arguments)
    assert code == 2, err
    found: list[dict[str, Any]] = json.loads(out)["differences"]
    assert found
    return found


def causes(found: list[dict[str, Any]]) -> set[str]:
    return {each["cause"] for each in found}


@pytest.mark.parametrize(
    "table",
    [
        "global_30_minutes", "collection_30_minutes", "asset_30_minutes", "top_assets_30_minutes",
        "TOP_COLLECTIONS_30_MINUTES", "collection_1_hour_by_30_minutes",
        "top_assets_1_hour_by_30_minutes",
    ],
)  # fmt: skip
def test_equal(run: Run, archive: Path, table: str) -> None:
    # Hopping windows at the ends are wholly in the period only if it goes beyond the events.
    period = ("--from", "2026-09-09T23:00", "--to", "2026-09-10T07:00")
    code, out, err = run(table, archive, *period)
    assert code == 0, out + err
    assert out.startswith(f"{table.upper()}, 2026-09-09T23:00:00Z to 2026-09-10T07:00:00Z: all ")
    assert not out.split("all ")[1].startswith("0 ")
    code, out, _ = run(table, archive, *period, "--json")
    assert code == 0
    assert json.loads(out)["differences"] == []


def test_the_progress_grows_to_the_whole_period(
    run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    @contextmanager
    def bar(_: str, total: int, unit: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, hours: shown.append(done * 100 // total)

    monkeypatch.setattr("opensea_metrics.deploy.cli.progress.bar", bar)
    code, _, err = run("global_30_minutes", archive, "--from", "2026-09-09T23:00", "--to", "2026-09-10T07:00")
    assert code == 0, err
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0, 100)
    assert any(0 < percent < 100 for percent in shown)


def test_damaged_files_are_told(run: Run, archive: Path) -> None:
    hour = archive / "year=2026/month=09/day=10/hour=02"
    (hour / f"{TOPIC}+2+0009000000.json.gz").write_bytes(b"")
    compacted(archive, START + HOUR_MS, START + 2 * HOUR_MS, keep=True)
    parquet = next(archive.rglob("*.parquet"))
    parquet.write_bytes(b"no Parquet")
    code, out, err = run("collection_30_minutes", archive)
    assert code == 0, out + err
    assert "0009000000.json.gz is damaged: it is empty (0 bytes); 0 of its records were read" in err
    assert f"{parquet} is damaged: " in err
    assert "the originals beside it were read instead" in err
    found = json.loads(run("collection_30_minutes", archive, "--json")[1])
    assert found["damaged_files"].keys() == {str(parquet), str(hour / f"{TOPIC}+2+0009000000.json.gz")}


def test_a_damaged_file_is_a_cause(run: Run, archive: Path) -> None:
    lost = sorted((archive / "year=2026/month=09/day=10/hour=02").glob(f"{TOPIC}+2+*"))[0]
    lost.write_bytes(b"")
    found = differing(run, "global_30_minutes", archive)
    assert causes(found) == {"damaged file"}
    assert {each["window_start"] for each in found} == {"2026-09-10T02:00:00Z", "2026-09-10T02:30:00Z"}
    assert {each["detail"] for each in found} == {
        f"{lost.name}: it is empty (0 bytes); 0 of its records were read, 60 are missing"
    }


def test_late_rows(run: Run, streamed: Streamed) -> None:
    found = differing(run, "collection_30_minutes", streamed.topic)
    assert causes(found) == {"late beyond grace"}
    by_slug = {each["key"]["COLLECTION"]: each for each in found}
    assert by_slug.keys() == {"whale", "latecomer"}
    whale = by_slug["whale"]
    assert (whale["window_start"], whale["window_end"]) == ("2026-09-10T00:00:00Z", "2026-09-10T00:30:00Z")
    columns = {each["column"]: each for each in whale["columns"]}
    sales = columns["SALES"]
    assert (sales["streamed"], sales["recomputed"], sales["absolute"]) == (30, 31, -1)
    assert sales["relative"] == pytest.approx(-1 / 31)
    assert columns["USD_VOLUME"]["absolute"] == pytest.approx(-2500)
    assert "FLOOR_USD" not in columns
    assert by_slug["latecomer"]["kind"] == "missing"


@pytest.mark.parametrize(
    ("table", "rows"),
    [("global_1_hour_by_30_minutes", 1), ("top_assets_30_minutes", 2), ("top_collections_30_minutes", 1)],
)
def test_late_rows_in_other_tables(run: Run, streamed: Streamed, table: str, rows: int) -> None:
    found = differing(run, table, streamed.topic)
    assert causes(found) == {"late beyond grace"}
    assert len(found) == rows
    assert {each["window_start"] for each in found} == {"2026-09-10T00:00:00Z"}


@pytest.mark.parametrize("table", ["asset_30_minutes", "top_assets_1_hour_by_30_minutes"])
def test_late_rows_of_compacted_files(run: Run, streamed: Streamed, tmp_path: Path, table: str) -> None:
    archive = Path(shutil.copytree(streamed.topic, tmp_path / TOPIC))
    compacted(archive, START, START + 5 * HOUR_MS)
    found = differing(run, table, archive)
    assert causes(found) == {"late beyond grace"}
    assert len(found) == 2


def test_it_is_told_in_a_table_too(run: Run, streamed: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("collection_30_minutes", streamed.topic)
    assert code == 2
    text = " ".join(out.split())
    assert "2 of " in text
    assert "rows differ" in text
    assert "2 rows: late beyond grace: equal without the records that came after" in text


def file_of(archive: Path, hour: int, partition: int) -> Path:
    (found,) = (
        path
        for path in sorted(archive.rglob(f"*+{partition}+*"))
        if (named := archive_file(str(path))) and named.hour_ms == START + hour * HOUR_MS
    )
    return found


def test_a_gap(run: Run, archive: Path) -> None:
    file_of(archive, 2, 2).unlink()
    found = differing(run, "collection_30_minutes", archive)
    assert causes(found) == {"archive gap"}
    assert {each["key"]["COLLECTION"] for each in found} == {"whale"}
    assert {each["window_start"][11:16] for each in found} == {"02:00", "02:30"}
    assert all("partition 2 has no offsets 1000120 to 1000179" in each["detail"] for each in found)
    assert all(each["kind"] == "surplus" for each in found)


def test_a_file_that_is_there_twice(run: Run, archive: Path) -> None:
    path = file_of(archive, 3, 0)
    shutil.copy(path, path.with_name(f"{TOPIC}+0+0000777777.json.gz"))
    for table in ("global_30_minutes", "collection_30_minutes", "global_1_hour_by_30_minutes"):
        found = differing(run, table, archive)
        assert causes(found) == {"duplicates in the archive"}
        assert {each["window_start"][11:13] for each in found} <= {"02", "03"}
        assert "several files" in found[0]["detail"]


def test_lines_that_are_there_twice(run: Run, archive: Path) -> None:
    path = file_of(archive, 3, 2)
    path.unlink()
    times = [START + 3 * HOUR_MS + n * 60_000 for n in range(60)]
    lines = [event(t, "whale", f"n/{n % 7}") for n, t in enumerate(times)]
    add(archive, times[0], 1_000_180, [*lines, *lines[:10]], 2)
    (found,) = differing(run, "collection_30_minutes", archive)
    assert found["cause"] == "duplicates in the archive"
    assert found["detail"] == "equal if equal records count once"


def test_a_window_that_is_not_closed(run: Run, archive: Path) -> None:
    """The sink has not written the last hour of a partition yet."""
    file_of(archive, 5, 2).unlink()
    found = differing(run, "collection_30_minutes", archive)
    assert causes(found) == {"window not closed yet"}
    assert {each["window_start"][11:16] for each in found} == {"05:00", "05:30"}
    assert "no record of 2026-09-10T06:30:00Z (its end and grace period) or later" in found[0]["detail"]


def test_windows_that_the_server_has_dropped(
    run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server drops what is older than RETENTION. This one keeps a day, so what it would drop is left out here."""
    pull = KsqlClient.pull

    def forgetful(self: KsqlClient, text: str) -> list[dict[str, Any]]:
        return [row for row in pull(self, text) if row.get("WINDOWSTART", START) >= START + HOUR_MS]

    monkeypatch.setattr(KsqlClient, "pull", forgetful)
    found = differing(run, "collection_30_minutes", archive)
    assert causes(found) == {"window no longer kept"}
    assert {each["window_start"][11:16] for each in found} == {"00:00", "00:30"}


def test_what_nothing_explains(run: Run, archive: Path) -> None:
    file_of(archive, 3, 2).unlink()
    times = [START + 3 * HOUR_MS + n * 60_000 for n in range(60)]
    add(archive, times[0], 1_000_180, [event(t, "whale", f"n/{n % 7}", eth=3) for n, t in enumerate(times)], 2)
    found = differing(run, "collection_30_minutes", archive)
    assert causes(found) == {"unknown"}
    assert found[0]["detail"] == "not duplicates, late records, gaps"
    columns = {each["column"] for each in found[0]["columns"]}
    assert columns == {"USD_VOLUME", "ETH_VOLUME", "FLOOR_USD", "AVG_USD"}


def test_different_causes_in_different_windows(run: Run, streamed: Streamed, tmp_path: Path) -> None:
    archive = Path(shutil.copytree(streamed.topic, tmp_path / TOPIC))
    file_of(archive, 2, 2).unlink()
    path = file_of(archive, 4, 2)
    shutil.copy(path, path.with_name(f"{TOPIC}+2+0001000999.json.gz"))
    found = differing(run, "collection_30_minutes", archive)
    by_hour = {each["window_start"][11:13]: each["cause"] for each in found}
    assert by_hour == {
        "00": "late beyond grace", "02": "archive gap", "04": "duplicates in the archive",
    }  # fmt: skip


def test_only_the_period_that_was_asked_for(run: Run, streamed: Streamed) -> None:
    code, out, _ = run("collection_30_minutes", streamed.topic, "--from", "2026-09-10T00:30")
    assert code == 0
    assert "2026-09-10T00:30:00Z to 2026-09-10T06:00:00Z" in out


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        ("collection_30_minutes", ("--from", "2026-09-10T00:10"), "cuts a window of 30 MINUTES in two"),
        ("nothing", (), "there is no table 'nothing'"),
        ("sales", (), "SALES has a row for each event"),
        ("enriched_global_events", (), "is not a table with windows"),
        ("all", (), "all is several tables: reconcile one table at a time"),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run, archive: Path, table: str, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run(table, archive, *arguments)
    assert (code, out) == (1, "")
    assert message in " ".join(err.split())


def test_a_server_without_the_table(
    run: Run, archive: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with server.running(tmp_path_factory.mktemp("empty")) as url:
        code, out, err = run("global_30_minutes", archive, "--server", url)
    assert (code, out) == (1, "")
    assert "GLOBAL_30_MINUTES" in err
