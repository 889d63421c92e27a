"""Opens all DuckDB databases. A database can reach only the files that it is allowed to reach.

The SQL of a database contains text from users and strangers (:mod:`core.quoting`). If DuckDB ever took a
part of that text for SQL, the SQL still could not read or write other files, load an extension, or change
a setting. DuckDB may also write within the allowed directories.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from opensea_metrics.core.quoting import text

Setting = str | int | bool


def open_database(
    place: Path | None,
    temporary: Path,
    *,
    directories: Iterable[Path | str] = (),
    settings: Mapping[str, Setting] | None = None,
    adjustable: Sequence[str] = (),
    setup: Iterable[str] = (),
) -> duckdb.DuckDBPyConnection:
    """Open the database in a file, or a database in memory if ``place`` is None.

    The database can reach ``directories``, and ``temporary``, where DuckDB puts data that exceeds its memory.
    Symbolic links are resolved now. A link that is changed later to point outside these directories is
    refused. ``setup`` statements run first. After them, only the settings in ``adjustable`` can be changed.
    Python relations must be registered, because DuckDB does not look for Python variables. Raises duckdb.Error.
    """
    database = open_unrestricted(place, {**(settings or {}), "temp_directory": str(temporary)}, setup)
    try:
        _restrict(database, temporary, directories, adjustable)
    except BaseException:
        database.close()
        raise
    return database


def open_unrestricted(
    place: Path | None, settings: Mapping[str, Setting] | None = None, setup: Iterable[str] = ()
) -> duckdb.DuckDBPyConnection:
    """Open a database as :func:`open_database` does, but without restrictions.

    It must run nothing before it has them: give it to :func:`scratch_database`. Raises duckdb.Error.
    """
    database = duckdb.connect(
        ":memory:" if place is None else str(place),
        config={
            **(settings or {}),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        database.execute("BEGIN")  # one write to the disk for all statements
        for statement in setup:
            database.execute(statement)
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _restrict(
    database: duckdb.DuckDBPyConnection,
    temporary: Path,
    directories: Iterable[Path | str],
    adjustable: Sequence[str],
) -> None:
    reachable = [os.path.realpath(directory) for directory in (temporary, *directories)]
    for statement in (
        f"SET GLOBAL allowed_directories = {_list(reachable)}",
        f"SET GLOBAL allowed_configs = {_list(adjustable)}",
        "SET GLOBAL enable_external_access = false",
        "SET GLOBAL lock_configuration = true",
    ):
        database.execute(statement)


@contextmanager
def scratch_database(
    *,
    directories: Iterable[Path | str] = (),
    settings: Mapping[str, Setting] | None = None,
    adjustable: Sequence[str] = (),
    setup: Iterable[str] = (),
    opened: duckdb.DuckDBPyConnection | None = None,
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database in memory (see :func:`open_database`) and a temporary folder that it can reach. Both are removed
    afterwards.

    The database may be ``opened`` already, by :func:`open_unrestricted` with ``settings`` and ``setup``.
    """
    with (
        tempfile.TemporaryDirectory(prefix="opensea-metrics-") as folder,
        opened or open_unrestricted(None, settings, setup) as database,
    ):
        temporary = Path(folder) / "spilled"
        database.execute(f"SET GLOBAL temp_directory = {text(str(temporary))}")
        _restrict(database, temporary, [folder, *directories], adjustable)
        yield database, Path(folder)


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
