"""Runs the cells of the worked notebook one after the other, as a notebook would."""

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

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "deploy/compose/notebook/opensea-metrics.ipynb"
NAMED = (
    "OPENSEA_METRICS_ARCHIVE", "OPENSEA_METRICS_SPARK_MASTER", "KSQLDB_URL", "CASSANDRA_CONTACT_POINTS",
)  # fmt: skip


def cells(kind: str) -> list[str]:
    all_cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in all_cells if cell["cell_type"] == kind]


def execute(with_spark: bool) -> dict[str, Any]:
    """Run all cells in this process and working directory. Returns their plots, figures and output."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")
    drawn: list[list[str]] = []

    def show() -> None:
        drawn.append([axis.get_title() for axis in plt.gcf().axes if axis.has_data()])
        plt.close("all")

    names: dict[str, Any] = {}
    output = io.StringIO()
    with contextlib.redirect_stdout(output), mock.patch.object(plt, "show", show):
        for source in cells("code"):
            if with_spark or "pyspark" not in source:
                exec(compile(source, "notebook", "exec"), names)
    return {
        "drawn": len(drawn),
        "titles": [title for figure in drawn for title in figure if title],
        "hours": len(names["market"]),
        "events": int(names["market"]["EVENTS"].sum()),
        "top": len(names["top"]),
        "by_spark": int(names["by_hour"].to_numpy().sum()) if with_spark else None,
        "output": output.getvalue(),
    }


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


def test_it_shows_its_plots_and_no_local_paths() -> None:
    """A reader sees the stored output before running anything."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count('"image/png"') == 4
    assert "/home/" not in text.replace("/home/opensea", "")
    assert "/root/" not in text
    assert "/tmp/" not in text
