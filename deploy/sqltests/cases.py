"""Reads files of test cases.

A line ``--@test: NAME`` begins a case. Other lines that begin with ``--@`` are its settings (:data:`_SETTINGS`).
Settings before the first case apply to all cases of the file. The files are templates, as migrations are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opensea_metrics.core.errors import OpenSeaMetricsError, Place, SqlError
from opensea_metrics.core.places import Located
from opensea_metrics.core.wording import nearest
from opensea_metrics.sql.language.dialect.lexical import COMMENT, QUOTED_OR_COMMENT
from opensea_metrics.sql.language.project.project import rendered
from opensea_metrics.sql.language.project.variables import pieces

ENGINES = ("embedded", "spark", "ksqldb")
"""The engines that can run a case: the embedded server, Spark, and a real ksqlDB server."""
ALL = 2**31
"""The version that stands for all migrations."""

_PART = re.compile(QUOTED_OR_COMMENT, re.DOTALL)
_BLANK = re.compile(rf"(?:\s|{COMMENT})*", re.DOTALL)
_SETTING = re.compile(r"--@\s*([\w.]*)\s*:?[ \t]*(.*?)\s*", re.DOTALL)
_SCRIPT = re.compile(r"RUN\s+SCRIPT\s+'([^']+)'\s*;", re.IGNORECASE)
_VERSION = re.compile(r"[Vv]?0*([0-9]{1,9})")
_SETTINGS = ("test", "expected.error", "expected.message", "migrations", "engines")
_MOST_SCRIPTS = 20
"""The largest depth of scripts that run other scripts."""


class CaseFileError(OpenSeaMetricsError):
    """A file that holds no cases, or a path that does not exist."""


@dataclass(frozen=True)
class Step:
    """One statement or assertion of a case: its text with the semicolon, and where it begins."""

    text: str
    source: Located
    start: int

    @property
    def place(self) -> Place:
        """The place where the step begins."""
        return self.locate(0)

    def locate(self, offset: int) -> Place:
        """The place of a character of the text."""
        return self.source.place(self.start + offset)


@dataclass(frozen=True)
class Case:
    """A test case.

    ``error`` is the class of the expected error, ``message`` a part of its text. ``migrations`` is the last
    version of the project's migrations to apply first, or None. ``engines`` are the engines that can run the case.
    """

    name: str
    place: Place
    error: str | None = None
    message: str | None = None
    migrations: int | None = None
    engines: frozenset[str] = frozenset(ENGINES)
    steps: tuple[Step, ...] = ()

    @property
    def must_fail(self) -> bool:
        """Whether a statement or assertion of the case must fail."""
        return self.error is not None or self.message is not None


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The given files, and the files ``*.sql`` with test cases in the given folders. Raises CaseFileError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            named = sorted(entry for entry in path.rglob("*.sql") if entry.is_file())
            files += [entry for entry in named if re.search(r"^\s*--@test\b", _text(entry), re.MULTILINE)]
        elif path.is_file():
            files.append(path)
        else:
            raise CaseFileError(f"{path}: there is no such file or folder")
    if not files:
        raise CaseFileError(
            f"no file in {', '.join(map(str, paths))} has a test\n  hint: a test begins with a line --@test: NAME"
        )
    return list(dict.fromkeys(files))


def load(path: Path, root: Path, settings: Mapping[str, Any]) -> tuple[Case, ...]:
    """The cases of a file, rendered with the ``settings`` of the project in ``root``.

    Raises SqlError with the place of an error in the template or in a setting, and CaseFileError for a file
    without cases.
    """
    source = rendered(path, root, settings)
    common = case = Case("", Place(str(path), 1, 1))
    cases: list[Case] = []
    begin = 0
    settings_of_file = list(_settings(source))
    for start, end, name, value in [*settings_of_file, (len(source.text), len(source.text), "test", "")]:
        if name != "test":
            case = _with(case, name, value, source.place(start))
            continue
        steps = tuple(_steps(source, begin, start, path.parent, root, settings))
        if case.name:
            cases.append(replace(case, steps=steps))
        else:
            common = case
            if steps:
                raise SqlError(
                    "a statement before the first test", steps[0].place, "begin a test with a line --@test: NAME"
                )
        case = replace(common, name=value or "test", place=source.place(start))
        begin = end
    if not cases:
        raise CaseFileError(f"{path} has no test\n  hint: a test begins with a line --@test: NAME")
    return tuple(cases)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _settings(source: Located) -> Iterator[tuple[int, int, str, str]]:
    """The settings of a file: where each one begins and ends, its name and its value. Raises SqlError."""
    for part in _PART.finditer(source.text):
        if part[0].startswith("--@"):
            setting = _SETTING.fullmatch(part[0])
            name = setting[1].lower() if setting else ""
            if setting is None or name not in _SETTINGS:
                meant = nearest(name, _SETTINGS)
                hint = f"did you mean {meant}?" if meant else f"write one of: {', '.join(_SETTINGS)}"
                raise SqlError(f"'{name}' is not a setting of a test", source.place(part.start()), hint)
            yield part.start(), part.end(), name, setting[2]


def _with(case: Case, name: str, value: str, place: Place) -> Case:
    """The case with one more setting."""
    match name:
        case "expected.error":
            return replace(case, error=value)
        case "expected.message":
            return replace(case, message=value)
        case "engines":
            engines = frozenset(value.lower().replace(",", " ").split())
            if not engines or engines - set(ENGINES):
                raise SqlError(f"'{value}' does not name engines", place, f"write one or more of {', '.join(ENGINES)}")
            return replace(case, engines=engines)
    if value.lower() == "all":
        return replace(case, migrations=ALL)
    version = _VERSION.fullmatch(value)
    if version is None:
        raise SqlError(
            f"'{value}' is not a version of a migration", place, "write the last one to apply, such as V006, or all"
        )
    return replace(case, migrations=int(version[1]))


def _steps(
    source: Located, start: int, end: int, folder: Path, root: Path, settings: Mapping[str, Any], depth: int = 0
) -> Iterator[Step]:
    """The statements between two offsets. RUN SCRIPT is replaced by the script's statements. Raises SqlError."""
    for piece in pieces(source.text[start:end]):
        blank = _BLANK.match(piece.text)
        skipped = blank.end() if blank else 0
        if skipped == len(piece.text):
            continue
        step = Step(piece.text[skipped:], source, start + piece.start + skipped)
        script = _SCRIPT.fullmatch(step.text)
        if script is None:
            yield step
            continue
        path = folder / script[1]
        if depth == _MOST_SCRIPTS:
            raise SqlError(f"more than {_MOST_SCRIPTS} nested scripts", step.place, "a script must not run itself")
        if not path.is_file():
            raise SqlError(f"there is no file {path}", step.place, "write the path relative to this file")
        inner = rendered(path, root, settings)
        yield from _steps(inner, 0, len(inner.text), path.parent, root, settings, depth + 1)
