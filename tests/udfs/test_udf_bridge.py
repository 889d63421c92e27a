"""The bridge into ksqlDB without a ksqlDB: errors of Python in the generated classes, jars, the command
line. Through SQL: test_udf_ksqldb.py."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.deploy import cli
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.ksqldb import adaptor, build, render
from opensea_metrics.udfs.ksqldb.jvm import Jvm
from opensea_metrics.udfs.samples import SampleGroup


def function(name: str) -> Definition:
    return registry.functions()[name]


def test_an_exception_of_a_scalar_is_thrown_with_the_last_line(jvm: Jvm, own: Path) -> None:
    """ksqlDB makes NULL of it, and an entry of the processing log with the message."""
    assert jvm.run([(function("WHOLE"), ("12",)), (function("WHOLE"), ("x",))]) == [12, None]
    assert jvm.log == "processing.udf ValueError: invalid literal for int() with base 10: 'x'\n"


def test_an_exception_of_an_aggregate_is_caught_and_logged(jvm: Jvm, own: Path) -> None:
    group = SampleGroup(("-", 5), ((("a", 1), ("bb", 13)), ((None, 2), ("c", None))))
    assert jvm.run([(function("LONGEST_TEXT"), group)]) == ["a1-2"]
    (line,) = jvm.log.splitlines()
    assert line.startswith("processing.udaf.LONGEST_TEXT Struct{type=1,recordProcessingError=")
    assert "ValueError: 13 is refused" in line


def test_results_of_the_wrong_type_are_null(jvm: Jvm, own: Path) -> None:
    cases = [
        (function("WRONG_TYPE"), ("a",)),
        (function("HALF_UP"), ("999.995",)),
        (function("HALF_UP"), ("NaN",)),
        (function("WHOLE"), ("9223372036854775808",)),
    ]
    assert jvm.run(cases) == [None] * 4
    assert len(jvm.log.splitlines()) == 4


def test_a_function_that_cannot_be_loaded_is_an_error_and_not_a_bad_row(
    jvm: Jvm, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A RuntimeException would leave every row out, in silence."""
    cases = [(function("LONGEST_TEXT"), SampleGroup(("-", 5), ((("a", 1),), (), ())))]
    monkeypatch.delenv(registry.VARIABLE)  # so that the JVM does not find it
    with pytest.raises(UdfError, match=r"java\.lang\.Error: Python function .*LONGEST_TEXT"):
        jvm.run(cases)


def test_python_that_cannot_start_is_an_error(jvm: Jvm, own: Path, tmp_path: Path) -> None:
    command = jvm.command("Harness", "1")
    command = [f"-Dpyudf.venv={tmp_path}" if "pyudf.venv" in part else part for part in command]
    done = subprocess.run(
        command, input=b'WHOLE\t\t{"A0": "1"}\n', capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert b"java.lang.Error: pyudf.venv is no virtual environment" in done.stderr


def test_factories_for_the_types_that_ksqldb_does_not_widen(own: Path) -> None:
    text = render.source(function("TOP_BY_KEY"))
    for kind in ("Double", "Long", "Integer"):
        assert f"Triple<String, {kind}, String>, String, java.util.List<" in text
    assert '@UdfParameter(value = "n"' in text
    assert "row.getLeft() == null || row.getMiddle() == null" in text
    assert "getRight() == null" not in text  # detail may be NULL


def test_a_table_function_declares_the_type_of_one_row(own: Path) -> None:
    """With the list's type ksqlDB takes it for a list of lists, and every value is NULL."""
    assert 'schema = "VARCHAR")\n  public java.util.List<String> call(' in render.source(function("LETTERS"))


def test_a_jar_of_another_version_is_refused(own: Path) -> None:
    definition = function("WHOLE")
    call = adaptor.bind("WHOLE", "call", adaptor.made_for(definition))
    assert call("12") == 12
    with pytest.raises(UdfError, match=r"made for WHOLE\(text BIGINT\).*: build it again"):
        adaptor.bind("WHOLE", "call", adaptor.made_for(definition).replace("STRING", "BIGINT"))


@pytest.mark.slow
def test_jars_apart_and_in_one(
    ksqldb_classes: list[Path], tmp_path: Path, own: Path
) -> None:
    apart = build.build(tmp_path / "apart", ksqldb_classes)
    names = set(zipfile.ZipFile(apart.extension).namelist())
    assert "pyudf/functions/TopByKey.class" in names
    assert "pyudf/functions/LongestText.class" in names  # the project's own
    assert not any(name.startswith(("pyudf/Python", "jep/", "io/")) for name in names)
    runtime, jep = apart.class_path
    assert "pyudf/PythonFunction.class" in zipfile.ZipFile(runtime).namelist()
    assert "jep/SharedInterpreter.class" in zipfile.ZipFile(jep).namelist()
    again = build.build(tmp_path / "again", ksqldb_classes)
    assert again.extension.read_bytes() == apart.extension.read_bytes()
    one = build.build(tmp_path / "one", ksqldb_classes, one=True)
    names = set(zipfile.ZipFile(one.extension).namelist())
    assert one.class_path == ()
    assert {"pyudf/functions/TopByKey.class", "pyudf/Values.class", "jep/Jep.class"} <= names


def test_what_javac_refuses_is_told(ksqldb_classes: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UdfError, match=r"javac: .*A\.java:1: error"):
        build.compile_java({"A.java": "class A { int x = y; }"}, tmp_path, ksqldb_classes)


def test_six_columns_are_more_than_ksqldb_takes() -> None:
    from dataclasses import replace

    wide = function("TOP_BY_KEY")
    wide = replace(wide, parameters=wide.parameters * 2)
    with pytest.raises(UdfError, match="ksqlDB takes 1 to 5 columns for an aggregate, but"):
        render.source(wide)


# -- the command line -------------------------------------------------------------------------


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["opensea-metrics", "udfs", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.parametrize("verb", ["list", "test", "build"])
def test_every_verb_has_an_example(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, verb, "--help")
    assert code == 0
    assert f"Example: opensea-metrics udfs {verb}" in out


def test_list_and_test(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "list", "or_default")
    assert code == 0
    assert out.startswith("OR_DEFAULT(value STRING, default STRING) → STRING\n")
    assert "value: may be NULL (may be NULL)" in out
    assert registry.checksum("OR_DEFAULT")[:12] in out
    code, out, err = run(monkeypatch, capsys, "test", "or_default", "top_by_key", "--count", "200")
    assert (code, err) == (0, "")
    assert "OR_DEFAULT: the same on python, duckdb" in out
    code, _, err = run(monkeypatch, capsys, "test", "nothing")
    assert (code, err[:41]) == (1, "error: there is no Python function nothin")


def test_own_functions_are_named_in_dotenv_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "functions"
    folder.mkdir()
    (folder / "dotenv_fees.py").write_text(
        "from opensea_metrics.udfs import udf\n@udf\ndef net_of_fee(usd: float) -> float:\n    return usd * 0.975\n"
    )
    monkeypatch.setenv(registry.VARIABLE, "")  # so that it is put back
    monkeypatch.delenv(registry.VARIABLE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"{registry.VARIABLE}=functions\nKSQLDB_URL=http://a\n")
    code, out, _ = run(monkeypatch, capsys, "list", "net_of_fee")
    assert (code, out.splitlines()[0]) == (0, "NET_OF_FEE(usd DOUBLE) → DOUBLE")


def test_test_shows_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "differing.py"
    file.write_text(
        "from opensea_metrics.udfs import udf\n"
        "from sys import _getframe\n"
        "def _arrow(column):\n    return column\n"
        "@udf(arrow=_arrow)\n"
        'def differs(x: int) -> int:\n    """A number.\n\n    >>> differs(1)\n    3\n    """\n'
        "    return x + (x > 50)\n"
    )
    monkeypatch.setenv(registry.VARIABLE, str(file))
    code, out, err = run(monkeypatch, capsys, "test", "differs", "--count", "300")
    assert code == 1
    assert "failures on python, duckdb" in out
    assert "Expected:\n    3\nGot:\n    1" in out
    assert "DIFFERS of (" in out
    assert err.endswith("failures\n")


def test_build_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = run(monkeypatch, capsys, "build")
    assert (code, err) == (
        1, "error: there are no jars of ksqlDB to build for: give their folder with --ksqldb DIR, or --docker\n"
    )  # fmt: skip
    code, _, err = run(monkeypatch, capsys, "build", "--ksqldb", str(tmp_path / "none"))
    assert code == 1
    assert "none does not exist; it should contain ksqlDB's jars" in err or "Jep is not" in err
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capsys, "build", "--docker")
    assert (code, "run this in a checkout" in err) == (1, True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UdfError, match="there is no javac: install a JDK"):
        build.javac()
