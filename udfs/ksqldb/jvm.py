"""Runs the generated classes in a bare JVM, which calls them as ksqlDB does, for checks and tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from opensea_metrics.core.definition import Definition, Parameter, UdfError
from opensea_metrics.udfs import registry
from opensea_metrics.udfs.ksqldb import build, render
from opensea_metrics.udfs.ksqldb.java_values import from_java, to_java
from opensea_metrics.udfs.samples import Row, SampleGroup

_SECONDS = 300


class Jvm:
    """The compiled classes of all functions. :meth:`run` starts a JVM.

    ``log`` is the standard error output of the last run, with a line for each Python exception.
    """

    def __init__(self, ksqldb: Iterable[Path], folder: Path) -> None:
        """Compile into a folder. Raises UdfError if a JDK, Jep or ksqlDB's classes are missing."""
        self.class_path = [*build.jars(ksqldb), build.jep_jar(), folder]
        self.log = ""
        build.compile_java(build.runtime_sources(), folder, self.class_path)
        functions = tuple(registry.functions().values())
        sources = {**build.function_sources(), "Harness.java": render.harness(functions)}
        build.compile_java(sources, folder, self.class_path)

    def run(self, cases: Sequence[tuple[Definition, Row | SampleGroup]], threads: int = 4) -> list[Any]:
        """The plain results of calls and groups, in order. Raises UdfError if the JVM fails."""
        lines = "".join(_line(definition, case) for definition, case in cases)
        done = subprocess.run(
            self.command("Harness", str(threads)),
            input=lines.encode("utf-8"),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        self.log = done.stderr.decode()
        if done.returncode:
            raise UdfError(f"the JVM ended with status {done.returncode}: {self.log[-2000:]}")
        results = done.stdout.splitlines()
        return [
            _result(definition, line) for (definition, _), line in zip(cases, results, strict=True)
        ]

    def command(self, main: str, *arguments: str) -> list[str]:
        """The command that starts a class from the class path, with this Python inside."""
        java = Path(build.javac()).with_name("java")
        packages = Path(__file__).parents[3]
        return [
            str(java),
            "-Xmx512m",
            f"-Dpyudf.venv={sys.prefix}",
            f"-Dpyudf.path={packages}",
            "-cp",
            os.pathsep.join(map(str, self.class_path)),
            main,
            *arguments,
        ]


def _line(definition: Definition, case: Row | SampleGroup) -> str:
    if isinstance(case, SampleGroup):
        constants = _row(definition.constants, case.constants)
        parts = [[_row(definition.parameters, row) for row in part] for part in case.parts]
        return f"{definition.name}\t{_json(constants)}\t{_json(parts)}\n"
    return f"{definition.name}\t\t{_json(_row(definition.parameters, case))}\n"


def _row(parameters: Sequence[Parameter], values: Row) -> dict[str, Any]:
    return {
        f"A{index}": to_java(parameter.type)(value)
        for index, (parameter, value) in enumerate(zip(parameters, values, strict=True))
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _result(definition: Definition, line: bytes) -> Any:
    (value,) = msgspec.json.decode(line)
    return None if value is None else from_java(definition.result)(value)
