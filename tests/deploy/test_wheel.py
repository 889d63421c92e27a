"""The package as users have it: a wheel, installed outside of the repository."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import opensea_metrics
from opensea_metrics.core.definition import UdfError
from tests.spark_batch.archives import needs, write_sample
from tests.udfs.jars import ksqldb_classes

ROOT = Path(__file__).parents[2]
FOLDERS = ("deploy", "opensea_metrics", "producer", "spark_batch", "sql", "udfs")
MAIN = "from opensea_metrics.deploy.cli import main; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed beside this Python")
    copy = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(copy))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it, beside JupySQL, whose package is called sql."""
    target = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--target", str(target), str(wheel), "jupysql")
    return target


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "No matching distribution" in done.stderr or "Temporary failure" in done.stderr:
        pytest.skip(f"pip cannot reach an index: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr


def run(installed: Path, cwd: Path, program: str, *arguments: str) -> str:
    """The output of a program that has the installed package and not this checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_index_would_take_it(wheel: Path) -> None:
    if importlib.util.find_spec("twine") is None:
        pytest.skip("twine is not installed: make install")
    command = [sys.executable, "-m", "twine", "check", "--strict", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_package_is_at_the_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert [top for top in tops if not top.endswith(".dist-info")] == ["opensea_metrics"]
    assert "opensea_metrics/py.typed" in names
    modules = {f"opensea_metrics/{path.relative_to(ROOT)}" for name in FOLDERS for path in _modules(ROOT / name)}
    modules = {name.replace("opensea_metrics/opensea_metrics", "opensea_metrics") for name in modules}
    assert modules - set(names) == {
        name for name in modules if name.startswith("opensea_metrics/deploy/compose/")
    }


def _modules(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.py") if ".venv" not in path.parts]


def test_jupysql_and_this_package_do_not_overwrite_each_other(installed: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.util import find_spec as spec; "
        "print(spec('sql').origin, spec('opensea_metrics').origin); "
        "print(spec('opensea_metrics.sql.language.statements.parser').origin)"
    )
    assert run(installed, tmp_path, program).split() == [
        str(installed / "sql/__init__.py"),
        str(installed / "opensea_metrics/__init__.py"),
        str(installed / "opensea_metrics/sql/language/statements/parser.py"),
    ]


def test_the_command_has_its_files(installed: Path, tmp_path: Path) -> None:
    assert "5 migrations" in run(installed, tmp_path, MAIN, "validate")
    assert "TOP_BY_KEY" in run(installed, tmp_path, MAIN, "udfs", "list")
    run(installed, tmp_path, MAIN, "sample", "--events", "3", "--data-dir", "sample")
    assert list((tmp_path / "sample").rglob("*.json.gz"))
    assert run(installed, tmp_path, MAIN, "--version").startswith("opensea-metrics ")


def test_a_jar_is_made(installed: Path, tmp_path: Path) -> None:
    try:
        classes = ksqldb_classes(tmp_path)
    except UdfError as error:
        pytest.skip(str(error))
    places = [word for path in classes for word in ("--ksqldb", str(path))]
    run(installed, tmp_path, MAIN, "udfs", "build", "--out", "out", *places)
    names = {name for jar in (tmp_path / "out").rglob("*.jar") for name in zipfile.ZipFile(jar).namelist()}
    assert any(name.endswith("PythonFunction.class") for name in names)


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_period_is_recomputed(installed: Path, tmp_path: Path, engine: str) -> None:
    needs(engine)
    topic = write_sample(tmp_path / "data", 200)
    program = (
        "import sys; from opensea_metrics import recompute; "
        "tables = recompute(sys.argv[1], '1 day', engine=sys.argv[2], wanted='global'); "
        "print(sum(tables['GLOBAL_1_DAY']['SALES'].to_pylist()))"
    )
    expected = opensea_metrics.recompute(topic, "1 day", engine="duckdb", wanted="global")
    sales = sum(expected["GLOBAL_1_DAY"]["SALES"].to_pylist())
    assert sales > 10
    assert run(installed, tmp_path, program, str(topic), engine).split()[-1] == str(sales)


def test_every_exported_name_is_there() -> None:
    for name in opensea_metrics.__all__:
        assert getattr(opensea_metrics, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        opensea_metrics.nothing  # noqa: B018


def test_nothing_imports_the_folders_by_their_own_names() -> None:
    """A class that is imported under two names is two classes."""
    folders = set(FOLDERS) - {"opensea_metrics"}
    for path in [file for name in (*folders, "tests") for file in _modules(ROOT / name)]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & folders, path
