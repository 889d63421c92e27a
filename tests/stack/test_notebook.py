"""The worked notebook's cells, run one after the other as a notebook would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path("deploy/compose/notebook/opensea-metrics.ipynb").resolve()
NAMED = (
    "OPENSEA_METRICS_ARCHIVE", "OPENSEA_METRICS_SPARK_MASTER", "KSQLDB_URL", "CASSANDRA_CONTACT_POINTS",
)  # fmt: skip


def cells(kind: str) -> list[str]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def test_all_cells_run_on_sample_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    pytest.importorskip("pandas", reason="needs the extra spark")
    with_spark = shutil.which("java") is not None
    try:
        import pyspark  # noqa: F401
    except ImportError:
        with_spark = False
    for name in NAMED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAMPLE_EVENTS", "20000")
    monkeypatch.chdir(tmp_path)
    drawn: list[list[str]] = []

    def show() -> None:
        drawn.append([axis.get_title() for axis in plt.gcf().axes if axis.has_data()])
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    names: dict[str, Any] = {}
    try:
        for source in cells("code"):
            if "pyspark" in source and not with_spark:
                continue
            exec(compile(source, "notebook", "exec"), names)
    finally:
        if "spark" in names:
            names["spark"].stop()
    titles = [title for figure in drawn for title in figure if title]
    assert titles[:2] == ["The market by the hour (UTC)", "Top collections by volume of sales"]
    assert len(drawn) == (4 if with_spark else 3)
    assert len(names["market"]) == 24
    assert names["market"]["EVENTS"].sum() > 15_000
    assert len(names["top"]) == 10
    if with_spark:
        assert names["by_hour"].to_numpy().sum() > 15_000
    told = capsys.readouterr().out
    assert "KSQLDB_URL is not set" in told


def test_it_shows_its_plots_and_names_no_place() -> None:
    """What a reader sees before having run it."""
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text.count('"image/png"') == 4
    assert "/home/" not in text.replace("/home/opensea", "")
    assert "/root/" not in text
    assert "/tmp/" not in text
