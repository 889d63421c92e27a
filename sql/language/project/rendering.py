"""The process that renders templates. :mod:`.templates` starts it. It imports no module of this project.

Jinja2's sandbox keeps a template away from Python, but it does not limit time or memory. In
``'%1000000000d' % 1`` or ``10 ** 10 ** 10``, a single C call runs for minutes or fills the memory. No counter in
Python can interrupt such a call. A list of checks would have gaps, because many operators, filters and methods
can do this. So templates run in their own process. The kernel enforces the limits of this process, which also has its
own recursion limit. A project starts the process once, which takes about 0.1 s.

Standard input has one pickled :class:`RenderJob` (as a dict). Standard output has one JSON object per line:

- ``begin``: the file that is rendered next
- ``compiled``: a file, with pairs of a line of generated code and the template line that it comes from
- ``text``: a rendered file, with marks
- ``error``: an error with its place

If the process runs out of time, it writes the current line of code to standard error.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import pickle
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypedDict

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment


class RenderJob(TypedDict):
    """The files to render, and the limits.

    ``sources``: files that may be imported, by name, each with its path and text. ``unreadable``: files that cannot
    be read, each with its path, line and error. ``files``: path, text, and the replacements for ``ref('name')``.
    ``seconds`` (CPU time) and ``characters`` limit each file, and ``memory`` (bytes) limits the process.
    ``mark``: the form of every mark, with places for ``file``, ``line`` and ``column``; ``marks``: a pattern for marks.
    """

    variables: Mapping[str, Any]
    sources: Mapping[str, tuple[str, str]]
    unreadable: Mapping[str, tuple[str, int, str]]
    files: list[tuple[str, str, Mapping[str, str]]]
    seconds: float
    memory: int
    characters: int
    mark: str
    marks: str


class _TooLarge(Exception):
    pass


class _Marks(Extension):
    """Puts marks into the literal text of a template. ``marked_files`` numbers the files."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        files: list[str] = self.environment.marked_files  # type: ignore[attr-defined]
        name = stream.filename or stream.name or "<template>"
        if name not in files:
            files.append(name)
        return self._mark(stream, files.index(name))

    def _mark(self, stream: TokenStream, file: int) -> Iterator[Token]:
        mark: str = self.environment.mark  # type: ignore[attr-defined]
        for token in stream:
            if token.type != "data":
                yield token
                continue
            # Text after a tag on the same line starts at a column that the lexer does not report. Column 1 of that line
            # is close # enough.
            pieces = token.value.split("\n")
            marked = [
                mark.format(file=file, line=token.lineno + index, column=1) + piece
                for index, piece in enumerate(pieces)
            ]
            yield Token(token.lineno, "data", "\n".join(marked))


@jinja2.pass_context
def _checked(context: Context, value: object) -> object:
    """Refuse a value that is too long to search for marks. Jinja2 computes no constants at compile time if a
    function needs the context. That is wanted here, because errors at compile time have no line."""
    if isinstance(value, str) and len(value) > context.environment.characters:  # type: ignore[attr-defined]
        raise _TooLarge
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox with marks. ``lines`` maps lines of generated code to template lines, for each compiled file."""

    def __init__(
        self, load: Callable[[str], tuple[str, str, None] | None], characters: int, mark: str
    ) -> None:
        super().__init__(
            loader=jinja2.FunctionLoader(load),
            undefined=jinja2.StrictUndefined,
            extensions=[_Marks],
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            autoescape=False,
            optimized=False,
            finalize=_checked,
        )
        self.characters = characters
        self.mark = mark
        self.marked_files: list[str] = []
        self.lines: dict[str, list[tuple[int, int]]] = {}

    def unsafe_undefined(self, obj: object, attribute: str) -> jinja2.Undefined:
        raise SecurityError(f"'{attribute}' of a '{type(obj).__name__}' is not available in templates")

    def _compile(self, source: str, filename: str) -> Any:
        lines = re.search(r"debug_info = '([0-9=&]*)'\s*\Z", source)
        pairs = [pair.split("=") for pair in lines[1].split("&")] if lines and lines[1] else []
        self.lines[filename] = [(int(code), int(line)) for line, code in pairs]
        _report(compiled=filename, lines=self.lines[filename])
        return super()._compile(source, filename)


def _report(**entry: object) -> None:
    print(json.dumps(entry), flush=True)


def line_of(code: int, lines: Iterable[tuple[int, int]]) -> int:
    """The line of a template that a line of generated code comes from."""
    return next((line for begins, line in reversed([*lines]) if begins <= code), 1)


def _render(environment: _Environment, path: str, source: str, marks: re.Pattern[str]) -> str:
    code = environment.compile(source, name=path, filename=path)
    template = jinja2.Template.from_code(environment, code, dict(environment.globals))
    written: list[str] = []
    length = 0
    pieces = template.generate()
    for piece in pieces:
        written.append(piece)
        length += len(piece) - sum(len(match[0]) for match in marks.finditer(piece))
        if length > environment.characters:
            pieces.throw(_TooLarge())  # type: ignore[attr-defined]
    return "".join(written)


def _line(path: str, environment: _Environment, error: BaseException) -> tuple[str, int]:
    """The innermost template line of an error. Jinja2 rewrites tracebacks so that they contain template lines."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.filename or path, error.lineno
    if isinstance(error, SyntaxError) and error.filename in environment.lines:
        return error.filename, line_of(error.lineno or 1, environment.lines[error.filename])
    place = (path, 1)
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code, parser = traceback.tb_frame.f_code, traceback.tb_frame.f_locals.get("self")
        if code.co_filename in environment.lines:
            place = (code.co_filename, traceback.tb_lineno)
        elif isinstance(parser, Parser):
            place = (parser.filename or path, parser.stream.current.lineno)
        traceback = traceback.tb_next
    return place


def _message(error: BaseException, job: RenderJob) -> str:
    match error:
        case _TooLarge():
            return f"the text has more than {job['characters']:,} characters"
        case MemoryError():
            return f"rendering takes more than {job['memory'] >> 20} MB of memory"
        case RecursionError():
            return "macros, files or brackets are nested too deeply, or endlessly"
        case jinja2.TemplateNotFound():
            return f"there is no file '{error.name}' in macros/ or migrations/"
        case jinja2.TemplateError():
            return error.message or type(error).__name__
        case SyntaxError():
            return error.msg
        case _:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run(job: RenderJob) -> None:
    """Render the files of a job, and report each text or error."""
    faulthandler.register(signal.SIGPROF, file=sys.stderr, all_threads=False, chain=True)
    with contextlib.suppress(ValueError, OSError):  # macOS does not have this limit
        resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def load(name: str) -> tuple[str, str, None] | None:
        if (unreadable := job["unreadable"].get(name)) is not None:
            path, line, why = unreadable
            raise jinja2.TemplateSyntaxError(why, line, filename=path)
        known = job["sources"].get(name)
        return known and (known[1], known[0], None)

    physical: dict[str, str] = {}
    environment, marks = _Environment(load, job["characters"], job["mark"]), re.compile(job["marks"])
    environment.globals.update(job["variables"])
    environment.globals["ref"] = lambda name: physical.get(str(name).upper(), name)
    for path, source, names in job["files"]:
        physical.clear()
        physical.update(names)
        _report(begin=path)
        signal.setitimer(signal.ITIMER_PROF, job["seconds"])
        try:
            marked = _render(environment, path, source, marks)
            _report(text=marked, files=environment.marked_files)
        except Exception as error:
            file, line = _line(path, environment, error)
            _report(error=_message(error, job), file=file, line=line)


if __name__ == "__main__":
    run(pickle.load(sys.stdin.buffer))
