"""Jinja2 rendering of SQL files that keeps track of where each piece of text came from.

Before a template is compiled, every line of its literal text is given an invisible mark with file,
line and column. The marks survive loops, includes and macros; after rendering they are taken out,
and what is left of them is a table from positions in the rendered text to places in the sources.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from sql.errors import Place, SqlError
from sql.places import Lines, Located

_MARK = "\ue000{file}\ue001{line}\ue001{column}\ue002"
_MARKS = re.compile("\ue000(\\d+)\ue001(\\d+)\ue001(\\d+)\ue002")


class _Marks(Extension):
    """Puts marks into the literal text of a template; ``files`` numbers the files."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        files: list[str] = self.environment.marked_files  # type: ignore[attr-defined]
        name = stream.filename or stream.name or "<template>"
        if name not in files:
            files.append(name)
        return self._mark(stream, files.index(name))

    def _mark(self, stream: TokenStream, file: int) -> Iterator[Token]:
        source_columns: dict[int, int] = {}
        for token in stream:
            if token.type != "data":
                # Text after a tag on the same line starts right of it; the lexer does not say how
                # far, and column 1 of the right line is close enough to find it.
                source_columns[token.lineno] = 1
                yield token
                continue
            pieces = token.value.split("\n")
            marked = [
                _MARK.format(file=file, line=token.lineno + index, column=1) + piece
                for index, piece in enumerate(pieces)
            ]
            yield Token(token.lineno, "data", "\n".join(marked))


class Templates:
    """The templates of a project: macros under ``root/macros`` are found by their file name."""

    def __init__(self, root: Path, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self._physical: Mapping[str, str] = {}
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader([root / "macros", root / "migrations"]),
            undefined=jinja2.StrictUndefined,
            extensions=[_Marks],
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
        )
        self._environment.marked_files = []  # type: ignore[attr-defined]
        self._environment.globals.update(variables)
        self._environment.globals["ref"] = self._ref

    def _ref(self, name: str) -> str:
        return self._physical.get(name.upper(), name)

    def render(self, path: Path, physical: Mapping[str, str] | None = None) -> Located:
        """Render one file; ``physical``: what ``ref('name')`` stands for, where not for the name.

        Raises SqlError at the place of an undefined variable, a syntax error of the template, or a
        failing expression in it.
        """
        self._physical = physical or {}
        try:
            source = path.read_text(encoding="utf-8")
            code = self._environment.compile(source, name=path.name, filename=str(path))
            template = jinja2.Template.from_code(
                self._environment, code, dict(self._environment.globals)
            )
            marked = template.render()
        except jinja2.TemplateSyntaxError as error:
            place = Place(error.filename or str(path), error.lineno, 1)
            raise SqlError(f"template: {error.message}", place) from error
        except jinja2.UndefinedError as error:
            hint = "define it in settings.yml, or give --var NAME=VALUE"
            raise SqlError(f"template: {error.message}", _raised_at(error, path), hint) from error
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise SqlError(f"template: {error}", _raised_at(error, path)) from error
        except UnicodeDecodeError as error:
            raise SqlError(f"not UTF-8: {error}", Place(str(path), 1, 1)) from error
        files: list[str] = self._environment.marked_files  # type: ignore[attr-defined]
        return _unmark(marked, files, str(path))


def _unmark(marked: str, files: list[str], path: str) -> Located:
    pieces: list[str] = []
    offsets = [0]
    marks = [Place(path, 1, 1)]
    length = end = 0
    for match in _MARKS.finditer(marked):
        piece = marked[end : match.start()]
        pieces.append(piece)
        length += len(piece)
        offsets.append(length)
        marks.append(Place(files[int(match[1])], int(match[2]), int(match[3])))
        end = match.end()
    pieces.append(marked[end:])
    text = "".join(pieces)
    lines = Lines(text, path)

    def place(offset: int) -> Place:
        """The last mark before a character, plus the distance."""
        index = bisect.bisect_right(offsets, offset) - 1
        mark, begins = marks[index], offsets[index]
        here, there = lines.place(offset), lines.place(begins)
        if here.line > there.line:
            return Place(mark.file, mark.line + here.line - there.line, here.column)
        return Place(mark.file, mark.line, mark.column + offset - begins)

    return Located(text, place)


def _raised_at(error: BaseException, path: Path) -> Place:
    """Jinja2 rewrites tracebacks so that template lines stand in them; the innermost one counts."""
    place = Place(str(path), 1, 1)
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.endswith(".sql"):
            place = Place(file, traceback.tb_lineno, 1)
        traceback = traceback.tb_next
    return place
