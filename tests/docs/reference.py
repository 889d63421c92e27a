"""Writes docs/reference/: ``python -m tests.docs.reference``. A test compares the pages with the code."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints
from unittest.mock import Mock

from starlette.routing import Route, WebSocketRoute
from typer.models import ArgumentInfo, OptionInfo

import opensea_metrics
from opensea_metrics.deploy.cli.app import whole_app
from opensea_metrics.deploy.cli.help import PENDING
from opensea_metrics.deploy.cli.help import name_of as command_name
from opensea_metrics.deploy.embedded.rest import app
from opensea_metrics.deploy.embedded.rest.policy import Policy
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.changes import applied
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.project.project import load_project, packaged_root
from tests.docs.markdown import ROOT
from tests.parts.yaml_files import read_yaml
from tests.plain_english import source_files

FOLDER = ROOT / "docs/reference"
GENERATED = "\n\n`make docs` writes this page from the code, and a test compares them.\n"
MEANINGS: dict[str, dict[str, list[str]]] = read_yaml(Path(__file__).parent / "metrics.yml")


def cell(text: object) -> str:
    """A text as it may stand in a table: one line, with escaped bars."""
    return re.sub(r"\s+", " ", str(text)).replace("|", r"\|").strip()


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in lines) + "\n"


def commands() -> str:
    """Every command with its arguments, options and exit codes."""
    parts = [
        "# Commands\n\nThis page lists every command of `opensea-metrics` with its arguments, options and exit codes.\n"
        f"`opensea-metrics COMMAND --help` shows the same text.{GENERATED}"
        "\nEvery command also has exit code 0 for success, 1 for an error, and 130 after Ctrl-C. An error prints one "
        "message on stderr.\n"
    ]
    app = whole_app()
    for command in app.registered_commands:
        parts += _command(command_name(command), command.callback)
    for group in app.registered_groups:
        assert group.typer_instance
        for command in group.typer_instance.registered_commands:
            parts += _command(f"{group.name} {command_name(command)}", command.callback)
    return "\n".join(parts)


def _command(name: str, function: Callable[..., Any] | None) -> Iterator[str]:
    assert function
    hints = get_type_hints(function, include_extras=True)
    parameters = [
        _Parameter(key, get_args(hints[key])[0], get_args(hints[key])[1], parameter.default)
        for key, parameter in inspect.signature(function).parameters.items()
    ]
    positional = [parameter.usage for parameter in parameters if isinstance(parameter.info, ArgumentInfo)]
    yield f"## {name}\n"
    yield f"`{' '.join(['opensea-metrics', name, '[OPTIONS]', *positional])}`\n"
    for text in (inspect.getdoc(function) or "").split("\n\n"):
        example = re.match(r"Example: (.*)", text)
        yield f"Example: `{example[1]}`\n" if example else f"{_markdown(text)}\n"
    if name in PENDING:
        yield f"Exit code 2: {PENDING[name]}.\n"
    if parameters:
        rows = [[f"`{p.usage}`", _markdown(p.info.help or ""), p.shown_default] for p in parameters]
        yield table(["option", "meaning", "default"], rows)


@dataclass(frozen=True)
class _Parameter:
    """An argument or option of a command, as its function declares it."""

    name: str
    type: Any
    info: ArgumentInfo | OptionInfo
    default: Any

    @property
    def usage(self) -> str:
        metavar = self.info.metavar or self._kind
        if isinstance(self.info, ArgumentInfo):
            return metavar if self.info.metavar else self.name.upper()
        # In Annotated, typer takes the first name for the default.
        given = [*([self.info.default] if isinstance(self.info.default, str) else []), *(self.info.param_decls or ())]
        names = ", ".join(given or [f"--{self.name.replace('_', '-')}"])
        return names if self.type is bool else f"{names} {metavar}"

    @property
    def shown_default(self) -> str:
        shown = self.info.show_default if isinstance(self.info.show_default, str) else None
        value = self.default.value if isinstance(self.default, Enum) else self.default
        if shown or self.type is bool or value in (None, ...) or value is inspect.Parameter.empty:
            return f"`{shown}`" if shown else ""
        return f"`{value}`"

    @property
    def _kind(self) -> str:
        plain = next((part for part in get_args(self.type) if part is not type(None)), self.type)
        plain = next(iter(get_args(plain)), plain)
        if isinstance(plain, type) and issubclass(plain, Enum):
            return "|".join(str(choice.value) for choice in plain)
        return {int: "N", float: "NUMBER", Path: "PATH"}.get(plain, "TEXT")


def _markdown(text: str) -> str:
    """A help text without what Markdown or HTML would take for markup."""
    return re.sub(r"(?<!`)<([^>]*)>", r"`<\1>`", text.replace("*", r"\*"))


def settings() -> str:
    """Environment variables, from .env.example, and the settings of the statements, from sql/settings.yml."""
    parts = [
        "# Settings\n\nThis page lists the environment variables that the commands read, and the settings of the SQL "
        f"statements.{GENERATED}\n## Environment variables\n\n"
        "A variable may also be in the file `.env` of the working directory. The environment takes precedence over the "
        "file, and an option takes precedence over both.\n"
    ]
    for title, rows in _env_sections():
        parts += [f"### {title}\n", table(["variable", "meaning", "default or example"], rows)]
    parts.append(
        "## Settings of the statements\n\n"
        "The file `sql/settings.yml` has the values that the templates of the migrations use. `--var NAME=VALUE` "
        "overrides one for a single run. `OPENSEA_METRICS_VARIABLES` does so for every command.\n"
    )
    parts.append(table(["setting", "meaning", "value"], _yaml_settings()))
    return "\n".join(parts)


def _env_sections() -> Iterator[tuple[str, list[list[str]]]]:
    title = ""
    rows: list[list[str]] = []
    comment: list[str] = []
    for line in [*(ROOT / ".env.example").read_text(encoding="utf-8").splitlines(), "# --- end ---"]:
        if heading := re.match(r"# (?:---|===) (.*?) [-=]+$", line):
            if rows:
                yield title, rows
            title, rows, comment = heading[1], [], []
        elif variable := re.match(r"#?([A-Z][A-Z0-9_]+)=(.*)$", line):
            value = f"`{variable[2]}`" if variable[2] else ""
            rows.append([f"`{variable[1]}`", _markdown(" ".join(comment)), value])
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            comment = []


def _yaml_settings() -> list[list[str]]:
    values = read_yaml(packaged_root() / "settings.yml")
    rows: list[list[str]] = []
    comment: list[str] = []
    for line in (packaged_root() / "settings.yml").read_text(encoding="utf-8").splitlines():
        if setting := re.match(r"(\w+):[^#]*(?:#\s*(.*))?$", line):
            text = setting[2] or " ".join(comment)
            value = values[setting[1]]
            shown = ", ".join(window["size"] for window in value) if setting[1] == "windows" else value
            rows.append([f"`{setting[1]}`", text.replace("`windows`", "windows"), f"`{shown}`"])
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif not line.strip():
            comment = []
    return rows


@cache
def catalog() -> Catalog:
    """The packaged statements with the window of one minute."""
    state = Catalog()
    project = load_project(packaged_root(), {"windows": "[{size: 1 MINUTE}]"})
    statements = [statement for migration in project.migrations for statement in migration.statements]
    for number, statement in enumerate(statements):
        state = applied(state, statement, number)
    return state


def metrics() -> str:
    """Every table of metrics: its columns with their SQL and unit, and where its rows are stored."""
    parts = [
        "# Metrics\n\nThis page defines every metric that the packaged migrations compute: its SQL, its unit, and "
        f"where it is stored.{GENERATED}",
        _METRICS_INTRODUCTION,
    ]
    for name, source in catalog().sources.items():
        definition = catalog().definition(name)
        if definition is None or definition.analysis is None or definition.analysis.window is None:
            continue
        family = name.removesuffix("_1_MINUTE")
        parts.append(f"## {family}\n")
        reads = definition.analysis.source.name.replace("1_MINUTE", "<window>")
        topic = source.topic.replace("1_minute", "<window>")
        parts.append(
            f"The tables `{family}_<window>` read `{reads}`. Their rows are in the topics `{topic}`. "
            f"{_long_form(family)}\n"
        )
        meanings = MEANINGS["common"] | MEANINGS[family]
        rows = []
        for projection in definition.analysis.projections:
            column = projection.column
            meaning, unit = meanings[column.name]
            sql = projection.expression.sql(dialect=KsqlDB, comments=False).replace("`", "")
            rows.append([f"`{column.name}`", meaning, unit, column.type.name, f"`{cell(sql)}`"])
        parts.append(table(["column", "meaning", "unit", "type", "SQL"], rows))
    return "\n".join(parts)


_METRICS_INTRODUCTION = """
There is one table of each kind for each window of `settings.yml`, for example `GLOBAL_5_MINUTES`. Windows are
`[start, end)`, use event time, and are aligned to the epoch in UTC. Each window costs 10 persistent queries. The tables
build on these streams:

| stream | contents |
|---|---|
| `OPENSEA_RAW_EVENTS` | the topic `OpenSeaRawEvents`, as the producer writes it |
| `EVENTS` | the same events with flat columns |
| `SALES`, `TRANSFERS` | the events `item_sold` and `item_transferred` |
| `TRADING_EVENTS` | three rows for each sale and transfer: for the market, its chain and its collection |
| `ENRICHED_GLOBAL_EVENTS`, `ENRICHED_COLLECTIONS_EVENTS` | the long form: one row for each metric, window and value |

- The **USD volume** of a sale is `sale_price` / 10^`decimals` × the token's USD rate. The ETH volume uses the ETH rate.
- The **average price** is the volume divided by the number of items in all sales that have a price.
- `maker` and `taker` do not mean seller and buyer: the maker of an accepted offer is the buyer.
- A quantity that is missing, zero, negative or not a number counts as 1.
- An event without a collection counts in the metrics of the market only.
"""


def _long_form(family: str) -> str:
    text = (packaged_root() / "macros/families/long_form.sql").read_text(encoding="utf-8")
    for insert in text.split("INSERT INTO")[1:]:
        if f"'{family.lower()}_' ~ name ~ '_changes'" in insert.partition(";")[0]:
            is_global = "global_events" in insert[:60]
            topic = "OpenSeaEnrichedGlobalEvents" if is_global else "OpenSeaEnrichedCollectionsEvents"
            cassandra = "global_metrics" if is_global else "collections_metrics"
            return f"The long form has them in the topic `{topic}`, and in Cassandra's table `opensea.{cassandra}`."
    return "The long form does not have them."


def python() -> str:
    """The public names of the package, with signatures and docstrings."""
    parts = [
        "# Python reference\n\n"
        "This page lists the public names of the package `opensea_metrics` with their signatures. "
        f"[The Python interface](../python-api.md) shows them in a program.{GENERATED}"
    ]
    for name in sorted(opensea_metrics.__all__, key=str.lower):
        value = getattr(opensea_metrics, name)
        parts += [f"## {name}\n", f"`{_signature(name, value)}`\n", _doc(value)]
        if inspect.isclass(value):
            # The client inherits the methods that only read.
            classes = [base for base in value.__mro__[::-1] if base is value or ".deploy.client." in base.__module__]
            members = {member: function for base in classes for member, function in vars(base).items()}
            methods = [(method, function) for method, function in members.items() if not method.startswith("_")]
            rows = [
                [f"`{_signature(method, function)}`", (inspect.getdoc(function) or "").partition("\n\n")[0]]
                for method, function in methods
                if callable(function)
            ]
            if rows:
                parts.append(table(["method", "what it does"], rows))
    return "\n".join(parts)


def _signature(name: str, value: Callable[..., Any]) -> str:
    if inspect.isclass(value) and issubclass(value, Exception):
        return name
    text = str(inspect.signature(value)).replace("(self, ", "(").replace("(self)", "()")
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text.replace("'", ""))
    return name + re.sub(r"<[^>]*>", "…", text)


def _doc(value: object) -> str:
    text = (inspect.getdoc(value) or "").replace("``", "`").partition(">>>")[0].strip()
    return re.sub(r"(?m)^(\w+): ", r"- `\1`: ", text) + "\n"


REST = {
    "/": ("redirects to `/info`", "", ""),
    "/info": ("the server's version, id and status", "", "`KsqlServerInfo`"),
    "/healthcheck": ("whether the parts of the server are well", "", "`isHealthy`, `details`"),
    "/is_valid_property/{name}": ("whether clients may set a property", "", "`true`, or error 40000"),
    "/disk": ("disk use by topic and query; ksqlDB does not have this path", "", "bytes"),
    "/v1/metadata": ("the id of the cluster", "", "`id`, `scope`"),
    "/v1/metadata/id": ("the id of the cluster alone", "", "text"),
    "/ksql": (
        "runs statements, except SELECT and PRINT",
        "`ksql`, `streamsProperties`, `sessionVariables`, `commandSequenceNumber`",
        "a list with one entity for each statement",
    ),
    "/query": ("runs a SELECT, in the older form", "`ksql`, `streamsProperties`", "a stream of rows"),
    "/query-stream": ("runs a SELECT; HTTP/2 or HTTP/1.1", "`sql`, `properties`", "a header, then one row per line"),
    "/inserts-stream": ("inserts rows into a stream", "`target`, then one row per line", "an acknowledgement per row"),
    "/close-query": ("ends a push query", "`queryId`", ""),
    "/status": ("the status of all commands", "", "`commandStatuses`"),
    "/status/{kind}/{name:path}/{action}": ("the status of one command", "", "`status`, `message`"),
    "/clusterStatus": ("answers as a server without heartbeats does", "", "error 404"),
    "/chc/ready": ("whether the server is up", "", "`{}`"),
    "/chc/live": ("whether the server is up", "", "`{}`"),
    "/ws/query": ("runs a SELECT or PRINT", "`request`, in the query of the URL", "a message for each row"),
}
"""Path → what it does, the keys of its body, its answer."""


def routes() -> list[tuple[str, str]]:
    """The paths and methods of the server's application."""
    every = app.routes(Mock(), Mock(), Policy(), "127.0.0.1", 8088)
    http = [(route.path, sorted(route.methods or ())) for route in every if isinstance(route, Route)]
    websockets = {route.path for route in every if isinstance(route, WebSocketRoute)}
    rows = [(path, "POST" if "POST" in methods else "GET") for path, methods in http if path not in websockets]
    return [*rows, *((path, "websocket") for path in sorted(websockets))]


def rest() -> str:
    """The paths of the embedded server."""
    rows = [[f"`{method} {path.replace(':path', '')}`", *REST[path]] for path, method in routes()]
    return "\n".join(
        [
            "# REST interface\n\nThis page lists the paths of the embedded server. They are those of ksqlDB 7.9.1, so "
            f"clients of ksqlDB work with both.{GENERATED}",
            table(["request", "what it does", "body (JSON)", "answer"], rows),
            _REST_NOTES,
        ]
    )


_REST_NOTES = """\
An error is a JSON object with `@type`, `error_code` and `message`. The first three digits of `error_code` are the HTTP
status.

| status | when |
|---|---|
| 400 | the statement or the body is not valid, or the server does not support it |
| 401 | the credentials are missing or wrong |
| 403 | a foreign `Host`, `Origin` or `Sec-Fetch-Site` |
| 404, 405, 406 | no such path; another method; no such `Accept` |
| 408, 413 | the body took more than 60 s, or has more than 16 MB |
| 415 | the body is not JSON or a form |
| 429 | more than 1,000 open queries |
| 500 | a fault of the server; the log has the traceback under the number in the message |
| 503 | a statement that the request waits for does not come |
"""


def errors() -> str:
    """The messages of errors that say what to do, by folder."""
    parts = [
        "# Errors and remedies\n\nThis page lists the error messages that say what to do, by the part that raises "
        f"them. `…` stands for a name, a number or another message.{GENERATED}"
        "\nEvery message names what is wrong and where. Errors in SQL begin with file, line and column.\n"
    ]
    for title, folder in _AREAS.items():
        rows = sorted({(problem, remedy) for path in _files(folder) for problem, remedy in _remedies(path)})
        parts += [f"## {title}\n", table(["error", "what to do"], [[*row] for row in rows])]
    return "\n".join(parts)


_NO_REMEDY = re.compile(
    r"Got |Name: |Expected |Left side|Value for|None was|Unsupported|Source|Key |The embedded|Statement: |Each side"
)
"""Beginnings of second sentences that say more about the error, not what to do."""
_AREAS = {
    "SQL and templates": "sql/",
    "Migrations and commands": "deploy/",
    "Producer and archive": "producer/",
    "Recompute, reconcile, archive tools": "spark_batch/",
    "Python functions": "udfs/",
}


def _files(folder: str) -> list[Path]:
    return [path for path in source_files() if str(path.relative_to(ROOT)).startswith(folder)]


def _remedies(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        message = next((text for argument in node.exc.args if (text := _text(argument)).strip("… ")), "")
        hint = next((_text(keyword.value) for keyword in node.exc.keywords if keyword.arg == "hint"), "")
        problem, _, rest = message.partition("\n  hint: ")
        if not (remedy := hint or rest) and (end := re.search(r"\. (?=[A-Z][a-z])", problem)):
            problem, remedy = problem[: end.start()], problem[end.end() :]
        if not _NO_REMEDY.match(remedy) and len(problem.strip("… ")) > 10 and len(remedy.strip("… ")) > 10:
            yield _plain(problem), _plain(remedy)


def _text(expression: ast.expr) -> str:
    match expression:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts))
        case ast.FormattedValue(value=ast.Call(func=ast.Name(id="counted"), args=[_, ast.Constant(value=str(noun))])):
            return f"… {noun}s"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return "…"


def _plain(text: str) -> str:
    return _markdown(re.sub(r"…(?:\s*…)+", "…", text).strip().rstrip("."))


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "settings.md": settings,
    "metrics.md": metrics,
    "python.md": python,
    "rest.md": rest,
    "errors.md": errors,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page().rstrip("\n") + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
