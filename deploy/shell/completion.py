"""Completion: the words that fit at the cursor, from the text before the cursor and the names of a server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from opensea_metrics.core.quoting import ksqldb_quoted
from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.deploy.query.over import NAMES as WINDOW_FUNCTIONS
from opensea_metrics.deploy.query.user_statements import STATEMENTS
from opensea_metrics.deploy.shell.commands import COMMANDS
from opensea_metrics.sql.language.functions import library

KEYWORDS = (
    "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "CHANGES", "DELETE TOPIC", "DESC", "ELSE", "EMIT CHANGES",
    "END", "EXTENDED", "FROM", "FUNCTION", "GROUP BY", "HAVING", "IN", "INNER JOIN", "INTO", "IS", "JOIN", "LEFT JOIN",
    "LIKE", "LIMIT", "NOT", "NULL", "ON", "OR", "ORDER BY", "OVER", "PARTITION BY", "STREAM", "STREAMS", "TABLE",
    "TABLES", "THEN", "TOPIC", "TOPICS", "QUERIES", "FUNCTIONS", "PROPERTIES", "VALUES", "WHEN", "WHERE", "WINDOW",
    "WITH",
)  # fmt: skip
_LONGEST = 5_000
"""How many characters before the cursor completion reads, so that typing in a long text stays fast."""
_WORD = re.compile(r"[\w@`.]*\Z")
_SOURCE_AFTER = re.compile(r"\b(FROM|JOIN|INTO|DESCRIBE|STREAM|TABLE|EXISTS)\s+[\w`]*\Z", re.IGNORECASE)
_QUERY_AFTER = re.compile(r"\b(TERMINATE|PAUSE|RESUME|EXPLAIN)\s+[\w`]*\Z", re.IGNORECASE)
_TOPIC_AFTER = re.compile(r"\bPRINT\s+[\w'.-]*\Z", re.IGNORECASE)
_NAMED = re.compile(r"\b(?:FROM|JOIN|INTO)\s+(`[^`]+`|\w+)(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE)
_FILE = re.compile(r"^\s*\\i\s+(\S*)\Z")
_COMMAND = re.compile(r"^\s*\\\w*\Z|^\s*\\\?\Z")
_PLAIN = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True)
class ServerNames:
    """Names as the server spells them. ``columns`` are those of each stream and table."""

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The streams and tables."""
        return tuple(self.columns)


def names_of(client: KsqlClient) -> ServerNames:
    """Ask a server for all names. An error of the server only means fewer names, because the shell works without
    completion.
    """
    try:
        sources, queries, topics = client.everything()
        described = client.describe_all([source.name for source in sources])
        columns = {d.name: _readable(d.window is not None, [c.name for c in d.columns]) for d in described}
        functions = _functions(client)
    except ClientError:
        return ServerNames(functions=tuple(library.known()))
    ids = tuple(query.id for query in queries)
    return ServerNames(columns, functions, ids, tuple(topic.name for topic in topics))


def _readable(is_windowed: bool, columns: list[str]) -> tuple[str, ...]:
    return (*columns, *(("WINDOWSTART", "WINDOWEND") if is_windowed else ()), "ROWTIME")


def _functions(client: KsqlClient) -> tuple[str, ...]:
    reply = client.ask("SHOW FUNCTIONS;")
    listed = [item.get("name") for entity in reply for item in entity.get("functions") or ()]
    return tuple(sorted({name for name in listed if isinstance(name, str)}))


def candidates(before: str, after: str, names: ServerNames) -> tuple[str, list[str]]:
    """The word at the cursor, and the words that can replace it, the most likely first.

    ``before`` and ``after`` are the texts around the cursor. Names that need quotes have them.
    """
    if (match := _FILE.search(before)) is not None:
        return match[1], _files(match[1])
    if _COMMAND.search(before):
        return before.strip(), [name for name in COMMANDS if name.startswith(before.strip())]
    before = before[-_LONGEST:].rpartition(";")[2]
    match = _WORD.search(before)
    word = match[0] if match else ""
    owner, dot, column = word.rpartition(".")
    if dot:
        sources = [s for s, alias in _sources(before + after, names) if owner.upper() in (s, alias)]
        return column, _matching(column, [_written(c) for s in sources for c in names.columns[s]])
    if _inside_text(before):
        return word, []
    if not before[: len(before) - len(word)].strip():
        return word, _matching(word, STATEMENTS)
    if before.lstrip().startswith("\\") or _SOURCE_AFTER.search(before):
        return word, _matching(word, [_written(source) for source in names.sources])
    if _QUERY_AFTER.search(before):
        return word, _matching(word, [*names.queries, *(_written(source) for source in names.sources), "SELECT"])
    if _TOPIC_AFTER.search(before):
        return word, _matching(word, [topic for topic in names.topics if re.fullmatch(r"\w+", topic)])
    # Before FROM is written, any column may be meant.
    named = [source for source, _ in _sources(before + after[:_LONGEST], names)]
    columns = [_written(column) for source in named or names.sources for column in names.columns[source]]
    functions = [f"{name}(" for name in (*names.functions, *WINDOW_FUNCTIONS)]
    return word, _matching(word, [*columns, *KEYWORDS, *functions])


def _sources(text: str, names: ServerNames) -> Iterator[tuple[str, str]]:
    """The streams and tables that a statement names, with their aliases ('' without one)."""
    for match in _NAMED.finditer(text):
        name = match[1].strip("`") if match[1].startswith("`") else match[1].upper()
        if name in names.columns:
            yield name, (match[2] or "").upper()


def _inside_text(before: str) -> bool:
    return before.count("'") % 2 == 1


def _matching(word: str, choices: Iterable[str]) -> list[str]:
    """The choices that begin with a word, in any case, each once. Without a word: all of them."""
    start = word.upper().lstrip("`")
    chosen = (choice for choice in choices if choice.lstrip("`").upper().startswith(start))
    return [choice for choice in dict.fromkeys(chosen) if choice != word]


def _written(name: str) -> str:
    """A name as a statement needs it. Upper-case names are offered in lower case, as people write them."""
    return name.lower() if _PLAIN.fullmatch(name) else ksqldb_quoted(name)


def _files(start: str) -> list[str]:
    folder = Path(os.path.expanduser(os.path.dirname(start) or "."))
    prefix = os.path.dirname(start)
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    listed = (os.path.join(prefix, path.name) + ("/" if path.is_dir() else "") for path in paths)
    return [name for name in listed if name.startswith(start) and not os.path.basename(name).startswith(".")]


class SqlCompleter(Completer):
    """Offers :func:`candidates` after Tab. ``names`` gives the names of the server."""

    def __init__(self, names: Callable[[], ServerNames]) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before, after = document.text_before_cursor, document.text_after_cursor
        word, choices = candidates(before, after, self._names())
        for choice in choices:
            yield Completion(choice, start_position=-len(word))
