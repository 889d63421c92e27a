"""Runs the cells of the notebooks one after the other, as Jupyter would."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/compose/notebook"
NOTEBOOK = FOLDER / "opensea-metrics.ipynb"
SQL_CELLS = FOLDER / "sql-cells.ipynb"
NAMED = (
    "OPENSEA_METRICS_ARCHIVE", "OPENSEA_METRICS_SPARK_MASTER", "KSQLDB_URL", "CASSANDRA_CONTACT_POINTS",
)  # fmt: skip


def cells(kind: str, notebook: Path = NOTEBOOK) -> list[str]:
    all_cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in all_cells if cell["cell_type"] == kind]


def execute(with_spark: bool) -> dict[str, Any]:
    """Run all cells in this process and working directory. Returns their plots, figures and output."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    drawn: list[list[str]] = []
    starts: set[float] = set()

    def show() -> None:
        drawn.append([axis.get_title() for axis in plt.gcf().axes if axis.has_data()])
        for axis in plt.gcf().axes:
            lowest, _ = axis.get_xlim() if axis.get_xlabel() == "volume" else axis.get_ylim()
            starts.add(float(lowest))
        plt.close("all")

    names: dict[str, Any] = {}
    output = io.StringIO()
    with contextlib.redirect_stdout(output), mock.patch.object(plt, "show", show):
        for source in cells("code"):
            if with_spark or "pyspark" not in source:
                exec(compile(source, "notebook", "exec"), names)
    return {
        "starts": sorted(starts),
        "drawn": len(drawn),
        "titles": [title for figure in drawn for title in figure if title],
        "hours": len(names["market"]),
        "events": int(names["market"]["EVENTS"].sum()),
        "top": len(names["top"]),
        "by_spark": int(names["by_hour"].to_numpy().sum()) if with_spark else None,
        "output": output.getvalue(),
        "sql": [len(duckdb.execute(query).fetchall()) for query in sql_queries()],
    }


def sql_queries() -> list[str]:
    """The queries of the second notebook. JupySQL sends them to DuckDB as they are."""
    magic = [source.partition("\n") for source in cells("code", SQL_CELLS) if source.startswith("%%sql")]
    return [query for _, _, query in magic]


@pytest.mark.slow
def test_all_cells_run_on_sample_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    pytest.importorskip("pandas", reason="needs the extra spark")
    with_spark = shutil.which("java") is not None and importlib.util.find_spec("pyspark") is not None
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    # It needs its own process, because a Spark that other tests started has another working directory.
    program = (
        f"import json; from tests.stack.test_notebook import execute; "
        f"print('\\n' + json.dumps(execute({with_spark})))"
    )
    done = subprocess.run(
        (sys.executable, "-c", program),
        cwd=tmp_path,
        env=os.environ | {"SAMPLE_EVENTS": "20000", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=540, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["starts"] == [0], "all axes with values begin at zero"
    assert result["sql"] == [6, 1, 5, 4]
    assert result["titles"][:2] == ["The market by the hour (UTC)", "Top collections by volume of sales"]
    assert result["drawn"] == (4 if with_spark else 3)
    assert result["hours"] == 24
    assert result["events"] > 15_000
    assert result["top"] == 10
    if with_spark:
        assert result["by_spark"] > 15_000
    assert "KSQLDB_URL is not set" in result["output"]


def test_all_names_that_it_imports_exist() -> None:
    """Some cells import only if a service is configured."""
    imports = [
        (node.module or "", alias.name)
        for source in cells("code")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opensea_metrics.")
        for alias in node.names
    ]
    assert len(imports) > 3
    assert [(module, name) for module, name in imports if not hasattr(importlib.import_module(module), name)] == []


@pytest.mark.parametrize(("notebook", "plots"), [(NOTEBOOK, 4), (SQL_CELLS, 1)], ids=["pandas", "sql"])
def test_the_stored_output_has_plots_and_no_warnings_or_local_paths(notebook: Path, plots: int) -> None:
    """A reader sees the stored output before running anything."""
    text = notebook.read_text(encoding="utf-8")
    assert text.count('"image/png"') == plots
    assert "/home/" not in text.replace("/home/opensea", "")
    assert "/root/" not in text
    assert "/tmp/" not in text
    outputs = [output for cell in json.loads(text)["cells"] for output in cell.get("outputs", ())]
    assert {output.get("name") for output in outputs} <= {None, "stdout"}, "nothing on stderr"
    assert "warn" not in json.dumps([output.get("text", "") for output in outputs]).lower()
