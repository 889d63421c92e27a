"""kill -9 before every statement that the server sends to its database: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from opensea_metrics.deploy.embedded.files import segments
from opensea_metrics.deploy.embedded.queries import persistent
from opensea_metrics.deploy.embedded.queries.ordered import moving
from opensea_metrics.deploy.embedded.topics import chunks
from tests.embedded import killed
from tests.embedded.inside import Inside, inside


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("prepared") / "data"
    killed.prepare(data)
    return data


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("mixed") / "data"
    killed.prepare(data, is_mixed=True)
    return data


def counted(prepared: Path, data: Path) -> int:
    """The number of statements that the whole work needs."""
    shutil.copytree(prepared, data)
    assert killed.run(data, -1) == 0
    return int((data / "count").read_text())


@pytest.fixture(scope="module")
def statements(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    return counted(prepared, tmp_path_factory.mktemp("counted") / "data")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (persistent, "MOST_BYTES"), (chunks, "CHUNK_ROWS"), (chunks, "KEPT"), (segments, "_FEW"),
        (moving, "MOST_BYTES"), (moving, "MOST_RECORDS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, getattr(module, name))
    killed.small()


def problems(server: Inside, confirmed: Path) -> list[str]:
    """The records that are lost or count twice."""
    said = confirmed.read_text().split("\n") if confirmed.exists() else []
    faults = []
    counts = {}
    is_mixed = "MET" in server.engine.catalog.sources
    for table in (*killed.TABLES, *(killed.MIXED if is_mixed else ())):
        count: Counter[str] = Counter()
        emit = " EMIT CHANGES" if table in killed.FINAL else ""
        for row in server.ask(f"SELECT f, n FROM {table}{emit};"):
            if row["F"] != killed.CLOSING:
                count[row["F"]] += row["N"]
        counts[table] = count
        faults += [f"{name} in {table}: {count[name]} of {n}" for name, n in killed.FILES.items() if count[name] != n]
        for number in range(killed.INSERTED):
            seen = count[f"inserted {number}"]
            if not (f"done {number}" in said) <= seen <= (f"begun {number}" in said):
                faults.append(f"inserted {number} in {table}: {seen}")
    if len({tuple(sorted(count.items())) for count in counts.values()}) > 1:
        faults.append(f"the tables differ: {counts}")
    if is_mixed:
        faults += wrong_matches(server)
    server.done(killed.LATER)
    server.settle()
    again = {row["F"]: row["N"] for row in server.ask("SELECT f, n FROM later;")}
    if again != killed.FILES:
        faults.append(f"made again: {again}")
    for source, least in (("copied", 0), ("held", sum(killed.FILES.values()))):
        rows = [(row["P"], row["O"]) for row in server.ask(f"SELECT p, o FROM {source};")]
        if len(rows) < least:
            faults.append(f"{len(rows)} rows in {source}")
        if source == "copied" and len(set(rows)) < len(rows):
            faults.append(f"twice in {source}")
    return faults


def wrong_matches(server: Inside) -> list[str]:
    """What is wrong with the joins on a foreign key and of two streams."""
    faults = []
    names = {row["F"]: row["NAME"] for row in server.ask("SELECT f, name FROM on_foreign_key WHERE name IS NOT NULL;")}
    if names != {name: f"name of {name}" for name in killed.FILES}:
        faults.append(f"names: {names}")
    matched = Counter(row["OTHER"] for row in server.ask("SELECT other FROM met EMIT CHANGES;") if row["OTHER"])
    if matched != killed.FILES:
        faults.append(f"matched: {matched}")
    return faults


def check(prepared: Path, data: Path, number: int) -> list[str]:
    shutil.copytree(prepared, data)
    assert killed.run(data, number) == -9
    with inside(data) as server:
        killed.publish(data, is_later=False)
        server.settle()
        killed.finish(server)
        faults = problems(server, data / "confirmed")
    shutil.rmtree(data)
    return faults


def test_a_server_that_is_not_killed(prepared: Path, statements: int, tmp_path: Path, small: None) -> None:
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    with inside(data) as server:
        killed.work(server, data / "confirmed")
        assert problems(server, data / "confirmed") == []
        cursor = server.engine._cursor
        # All that can happen has happened: chunks were dropped, records, files and segments deleted.
        tables = cursor.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'log'").fetchall()
        assert len([name for (name,) in tables if name.startswith("COPIED")]) == 1
        assert len([name for (name,) in tables if name.startswith("HELD")]) < 3
        assert cursor.execute("SELECT count(*) > 1 FROM meta.chunks WHERE dropped IS NOT NULL").fetchone() == (True,)
        assert cursor.execute("SELECT count(*) FROM meta.records WHERE topic = 'raw'").fetchone() == (0,)
        assert len(list((data / "topics/raw").rglob("*.json*"))) == 1
    assert statements >= 200


@pytest.mark.parametrize("share", [0.25, 0.6, 0.9])
def test_some_kills(prepared: Path, statements: int, tmp_path: Path, small: None, share: float) -> None:
    assert check(prepared, tmp_path / "data", 1 + int(statements * share)) == []


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
def test_kills_all_along_the_work(mixed: Path, tmp_path: Path, small: None) -> None:
    """KILLS statements, evenly spread; each takes about 6 s. ``make soak`` has 300."""
    wanted = int(os.environ.get("KILLS", "15"))
    # Their number varies a little from run to run, so the last ones may not come.
    statements = counted(mixed, tmp_path / "counted") * 97 // 100
    wrong = {}
    kills = range(1, statements + 1, max(1, statements // wanted))
    assert len(kills) >= min(wanted, statements)
    for number in kills:
        if faults := check(mixed, tmp_path / "data", number):
            wrong[number] = faults
    assert wrong == {}
