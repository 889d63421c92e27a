"""The second wall: what SQL from inside a database cannot do, whatever it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from opensea_metrics.core.database import scratch_database
from opensea_metrics.core.quoting import text
from opensea_metrics.deploy.embedded.storage import Storage

SECRET = "what only the owner may read"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data directory with quotes in its name, reached over a link, and folders beside it."""
    base = tmp_path_factory.mktemp("wall")
    outside = base / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text(SECRET)
    (base / "real").mkdir()
    data = base / "it's \"here\"; --"
    data.symlink_to(base / "real")
    topics = data / "topics"
    (topics / "raw").mkdir(parents=True)
    (topics / "raw/a.json").write_text("inside\n")
    (topics / "raw/link.json").symlink_to(outside / "secret.csv")
    (topics / "linked").symlink_to(outside)
    return {"base": base, "outside": outside, "data": data, "topics": topics}


@pytest.fixture(scope="module")
def cursor(places: dict[str, Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A cursor of an embedded server's database."""
    storage = Storage(places["data"], memory_limit="60MB")
    yield storage.cursor()
    storage.close()


def filled(statement: str, places: dict[str, Path]) -> str:
    """A statement with places in it, which stand inside of a literal."""
    for name, path in places.items():
        statement = statement.replace(f"{{{name}}}", text(str(path))[1:-1])
    return statement


READING = (
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('{outside}/secret.csv')",
    "SELECT * FROM read_blob('{outside}/*')",
    "SELECT * FROM read_json('{outside}/secret.csv')",
    "SELECT * FROM read_parquet('{outside}/secret.csv')",
    "SELECT * FROM parquet_metadata('{outside}/secret.csv')",
    "SELECT * FROM sniff_csv('{outside}/secret.csv')",
    "SELECT * FROM '{outside}/secret.csv'",
    "SELECT * FROM glob('{outside}/*')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_text('{topics}/raw/a.json')",
    "SELECT * FROM read_text('{topics}/../../outside/secret.csv')",
    "SELECT * FROM read_text('{topics}/raw/../../../outside/secret.csv')",
    "SELECT * FROM read_text('{topics}/raw/link.json')",
    "SELECT * FROM read_text('{topics}/linked/secret.csv')",
    "SELECT * FROM read_text('https://example.org/')",
    "SELECT * FROM read_csv('s3://bucket/x.csv')",
    "COPY meta.commands FROM '{outside}/secret.csv'",
    "IMPORT DATABASE '{outside}'",
)
WRITING = (
    "COPY (SELECT 1) TO '{outside}/made.csv'",
    "COPY (SELECT 1) TO '{data}/made.csv'",
    "COPY (SELECT 1) TO '{topics}/raw/made.json'",
    "COPY (SELECT 1) TO '{topics}/linked/made.csv'",
    "COPY (SELECT 1) TO '{topics}/raw/../../made.csv'",
    "COPY (SELECT 1) TO '{data}/embedded.duckdb'",
    "COPY (SELECT 1) TO '{data}/embedded.duckdb.wal'",
    "COPY (SELECT 1) TO '{base}/real/embedded.duckdb'",
    "EXPORT DATABASE '{outside}/exported'",
    "ATTACH '{outside}/made.duckdb' AS made",
    "ATTACH '{data}/made.duckdb' AS made",
    "ATTACH '{topics}/made.duckdb' AS made",
    "ATTACH '{data}/embedded.duckdb' AS made",
    "ATTACH '{base}/real/embedded.duckdb' AS made",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "CALL enable_logging(storage = 'file', storage_config = {'path': '{outside}/log'})",
)
LOADING = (
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM '{outside}'",
    "LOAD httpfs",
    "LOAD '{outside}/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "CALL start_ui()",
)
SETTING = (
    "SET memory_limit = '1GB'",
    "SET GLOBAL threads = 1",
    "SET SESSION TimeZone = 'Europe/Berlin'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET allowed_configs = ['memory_limit']",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET temp_directory = '{outside}'",
    "SET autoload_known_extensions = true",
    "SET log_query_path = '{outside}/log'",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = '{outside}/profile'",
)


@pytest.mark.parametrize("statement", [*READING, *WRITING, *LOADING, *SETTING])
def test_the_embedded_server_refuses(
    cursor: duckdb.DuckDBPyConnection, places: dict[str, Path], statement: str
) -> None:
    files = {str(path) for path in places["base"].rglob("*")}
    settings = "SELECT name, value FROM duckdb_settings()"
    before = cursor.execute(settings).fetchall()
    with pytest.raises(duckdb.Error) as refused:
        cursor.execute(filled(statement, places)).fetchall()
    assert SECRET not in str(refused.value)
    reasons = ("disabled", "locked", "attached", "not in the catalog", "Cannot open", "Cannot access")
    assert any(reason in str(refused.value) for reason in reasons), str(refused.value)
    assert cursor.execute(settings).fetchall() == before
    assert {str(path) for path in places["base"].rglob("*")} == files
    assert cursor.execute("SELECT count(*) FROM duckdb_databases() WHERE NOT internal").fetchall() == [(1,)]


def test_it_spills_into_its_folder(
    cursor: duckdb.DuckDBPyConnection, places: dict[str, Path]
) -> None:
    cursor.execute("CREATE TEMP TABLE wide AS SELECT range AS n, repeat('x', 300) || range AS t FROM range(400_000)")
    assert cursor.execute("SELECT n FROM wide ORDER BY t DESC LIMIT 1 OFFSET 399_999").fetchall() == [(0,)]
    assert (places["data"] / "tmp").is_dir()
    cursor.execute("DROP TABLE wide")


def test_variables_of_python_are_not_found(cursor: duckdb.DuckDBPyConnection) -> None:
    secret = duckdb.sql("SELECT 1")
    assert secret is not None
    with pytest.raises(duckdb.CatalogException, match="secret"):
        cursor.execute("SELECT * FROM secret")
    assert secret.fetchall() == [(1,)]


def test_a_scratch_database_reaches_its_folder_and_what_it_was_told(places: dict[str, Path]) -> None:
    told = places["topics"] / "raw"
    with scratch_database(directories=[told], adjustable=["memory_limit"]) as (database, folder):
        content = f"SELECT content FROM read_text({text(str(told / 'a.json'))})"
        assert database.execute(content).fetchall() == [("inside\n",)]
        made = folder / "made.parquet"
        database.execute(f"COPY (SELECT 1 AS a) TO {text(str(made))} (FORMAT parquet)")
        assert database.execute(f"FROM read_parquet({text(str(made))})").fetchall() == [(1,)]
        for path in (places["outside"] / "secret.csv", places["data"] / "embedded.duckdb", Path("/etc/passwd")):
            with pytest.raises(duckdb.PermissionException):
                database.execute(f"FROM read_blob({text(str(path))})")
        database.execute("SET GLOBAL memory_limit = '300MB'")
        with pytest.raises(duckdb.InvalidInputException, match="has been locked"):
            database.execute("SET GLOBAL threads = 1")
    assert not os.path.exists(folder)
