"""DuckDB databases that can reach only the files that they are given. All databases are opened here.

The SQL of a database is made of what users and strangers write (:mod:`core.quoting`). Should a part of it
ever be taken for more than a name or a text, it still cannot read or write other files, load an extension,
or change a setting. Within the directories that are allowed DuckDB may also write.
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
    """Open the database of a file, or one in memory (None).

    It can reach ``temporary``, where it puts what its memory does not hold, and ``directories``. Links are
    followed now: a link that leads out of them later is refused. ``setup`` are statements to be run first.
    From then on only the settings in ``adjustable`` can be changed, and relations of Python have to be
    registered (DuckDB does not look for variables). Raises duckdb.Error.
    """
    database = duckdb.connect(
        ":memory:" if place is None else str(place),
        config={
            **(settings or {}),
            "temp_directory": str(temporary),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        for statement in setup:
            database.execute(statement)
        reachable = [os.path.realpath(directory) for directory in (temporary, *directories)]
        for statement in (
            f"SET GLOBAL allowed_directories = {_list(reachable)}",
            f"SET GLOBAL allowed_configs = {_list(adjustable)}",
            "SET GLOBAL enable_external_access = false",
            "SET GLOBAL lock_configuration = true",
        ):
            database.execute(statement)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def scratch_database(
    *,
    directories: Iterable[Path | str] = (),
    settings: Mapping[str, Setting] | None = None,
    adjustable: Sequence[str] = (),
    setup: Iterable[str] = (),
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database in memory (see :func:`open_database`) and a temporary folder that it can reach, both of
    which are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="opensea-metrics-") as folder, open_database(
        None,
        Path(folder) / "spilled",
        directories=[folder, *directories],
        settings=settings,
        adjustable=adjustable,
        setup=setup,
    ) as database:
        yield database, Path(folder)


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
