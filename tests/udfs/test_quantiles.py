"""DuckDB's SQL puts values into the same bins as the sketch, also at the bounds of bins."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa

from opensea_metrics.core.database import open_database
from opensea_metrics.udfs import duckdb as udfs_duckdb
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.functions import quantiles
from opensea_metrics.udfs.functions.quantiles import Bins


def _around_bounds() -> list[float]:
    """Values at the bounds of bins over the whole range of a DOUBLE, and the doubles next to them."""
    smallest, greatest = (quantiles._MAPPING.key(value) for value in (3e-308, 1e308))
    values = [0.0, 5e-324, quantiles._MAPPING.min_possible, 1.7976931348623157e308]
    for number in range(smallest, greatest, 37):
        value = quantiles._MAPPING._pow_gamma(number)
        below = math.nextafter(value, 0.0)
        above = math.nextafter(value, math.inf)
        values += [math.nextafter(below, 0.0), below, value, above, math.nextafter(above, math.inf)]
    return [*values, *(-value for value in values)]


def test_the_bins_of_values_at_bounds(tmp_path: Path) -> None:
    values = _around_bounds()
    partial = registry.functions()["SKETCH_MEDIAN"].in_duckdb([]).partial.format("v")
    with open_database(None, tmp_path) as database:
        udfs_duckdb.register(database)
        database.register("given", pa.table({"n": range(len(values)), "v": values}))
        rows = database.execute(f"SELECT {partial} FROM given GROUP BY n ORDER BY n").fetchall()
    assert len(values) > 9_000
    wrong = [
        value
        for value, (entries,) in zip(values, rows, strict=True)
        if quantiles._bins(entries) != quantiles._add(Bins(), value)
    ]
    assert wrong == []


def test_many_entries_of_a_bin_become_one(tmp_path: Path) -> None:
    """The state stays small, and the bins keep their counts."""
    parts = registry.functions()["SKETCH_MEDIAN"].in_duckdb([])
    with open_database(None, tmp_path) as database:
        udfs_duckdb.register(database)
        given = "SELECT range % 1000 AS part, range % 7 + 1.0 AS v FROM range(7000)"
        rows = f"SELECT {parts.partial.format('v')} AS a FROM ({given}) GROUP BY part"
        merged = f"SELECT {parts.merge.format(a='a')} AS a FROM ({rows})"
        ((entries,),) = database.execute(f"SELECT {parts.tidy.format(a='a')} FROM ({merged})").fetchall()
    assert len(entries) == 7
    assert sorted(quantiles._bins(entries).positive.values()) == [1_000] * 7
