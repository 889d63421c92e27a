"""Pull queries that ask a table for one key: ``SELECT … FROM table WHERE key = literal [AND …]``.

Clients send such a query again and again with other keys, and many at once. The server analyses each form of the
query once, and answers all queries of a form that wait together with one SELECT. Its result is that of
:class:`deploy.embedded.queries.client_queries.TransientQuery`, which answers all other queries.
"""

from __future__ import annotations

import asyncio
import functools
import re
import secrets
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sqlglot import exp
from starlette.concurrency import run_in_threadpool

from opensea_metrics.core.quoting import column as column_of
from opensea_metrics.core.types import BIGINT, INTEGER, STRING, name_of
from opensea_metrics.deploy.embedded.engine import Engine
from opensea_metrics.deploy.embedded.queries import reply_values
from opensea_metrics.deploy.embedded.queries.client_queries import TransientQuery
from opensea_metrics.deploy.embedded.topics import table_feeds
from opensea_metrics.sql.language.catalog.catalog import Catalog
from opensea_metrics.sql.language.catalog.sources import Column, Source
from opensea_metrics.sql.language.lowering.duckdb import selects
from opensea_metrics.sql.language.queries.analysis import Analysis
from opensea_metrics.sql.language.statements.parser import parse_script
from opensea_metrics.sql.language.values.topic_json import finite

_FORM = re.compile(
    r"""(?P<before>\s*SELECT\s[^'"$;]*?\sFROM\s[^'"$;]*?\sWHERE\s+[\w.`]+\s*=\s*)
    (?P<key>'(?:[^']|'')*'|-?[0-9]{1,18})
    (?P<after>\s*(?:;|\sAND\s[^$;]*;)\s*)""",
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST = 2_000
"""Characters of a query that is looked at here, so that looking takes no time and keeps no memory that matters."""
_MOST_FORMS = 200
_MOST_AT_ONCE = 500
"""Queries that one SELECT answers."""
_LOOKUP = "_lookup"


@dataclass(eq=False)
class _Form:
    """The queries that differ only in their key. ``catalog`` is the one in which they mean this."""

    catalog: Catalog
    source: Source
    columns: tuple[Column, ...]
    sql: str
    is_push = False
    waiting: list[tuple[Any, asyncio.Future[list[list[Any]]]]] = field(default_factory=list)
    is_running: bool = False


class KeyLookups:
    """Answers the queries that :data:`_FORM` describes. Only one thread may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._forms: OrderedDict[tuple[str, bool, str], _Form | None] = OrderedDict()
        self._catalog: Catalog | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, text: str) -> tuple[_Form, list[list[Any]]] | None:
        """The form of a query, and its rows. None if the query must be answered in the usual way.

        That includes all queries that are refused.
        """
        match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None:
            return None
        written = match["key"]
        is_text = written.startswith("'")
        form = await self._form((match["before"], is_text, match["after"]))
        if form is None:
            return None
        key = written[1:-1].replace("''", "'") if is_text else int(written)
        future: asyncio.Future[list[list[Any]]] = asyncio.get_running_loop().create_future()
        form.waiting.append((key, future))
        if not form.is_running:
            form.is_running = True
            task = asyncio.create_task(self._run(form))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            return form, await future
        except Exception:
            return None  # the usual way gives the client the reason

    async def _form(self, parts: tuple[str, bool, str]) -> _Form | None:
        if self._catalog is not self._engine.catalog:
            self._forms.clear()
            self._catalog = self._engine.catalog
        if parts not in self._forms:
            form = await run_in_threadpool(self._analysed, *parts)
            if form is not None and form.catalog is not self._catalog:
                return None
            self._forms[parts] = form
            while len(self._forms) > _MOST_FORMS:
                self._forms.popitem(last=False)
        else:
            self._forms.move_to_end(parts)
        return self._forms[parts]

    def _analysed(self, before: str, is_text: bool, after: str) -> _Form | None:
        """The form, or None if it is not one of a query by key, or is refused."""
        catalog = self._engine.catalog
        sample: Any = secrets.token_hex(8) if is_text else 10**17 + secrets.randbelow(10**16)
        literal = f"'{sample}'" if is_text else str(sample)
        try:
            (statement,) = parse_script(f"{before}{literal}{after}", "statement")
            query = TransientQuery(self._engine, statement, {})
        except Exception:
            return None
        query.close()
        analysis, source = query.analysis, query.source
        keys = [column for column in source.columns if column.is_key]
        rest = _without_key(analysis, str(sample))
        if query.is_push or not source.is_table or not catalog.writers(source.name):
            return None
        if rest is None or len(keys) != 1 or analysis.limit is not None:
            return None
        if keys[0].type != STRING if is_text else keys[0].type not in (INTEGER, BIGINT):
            return None
        key = column_of(keys[0].name)
        kind = "VARCHAR" if is_text else "BIGINT"
        asked = f"SELECT unnest($1::{kind}[])"
        table = table_feeds.of_table(catalog, source.name).with_open(source, asked)
        relation = f"SELECT *, {key} AS {_LOOKUP} FROM ({table}) WHERE {key} IN ({asked})"
        names = ", ".join([_LOOKUP, *(column_of(column.name) for column in query.columns)])
        order = ", ".join([_LOOKUP, *(["WINDOWSTART"] if source.window else [])])
        rows = selects.rows(rest, relation, carried=[_LOOKUP, *_bounds(source, query.columns)])
        return _Form(catalog, source, query.columns, f"SELECT {names} FROM ({rows}) ORDER BY {order}")

    async def _run(self, form: _Form) -> None:
        """Answer the queries of a form until none is waiting."""
        while form.waiting:
            some = form.waiting[:_MOST_AT_ONCE]
            del form.waiting[:_MOST_AT_ONCE]
            try:
                by_key = await run_in_threadpool(self._rows, form, [key for key, _ in some])
            except BaseException as error:
                for _, future in some:
                    if not future.done():
                        future.set_exception(error if isinstance(error, Exception) else RuntimeError("stopped"))
                if not isinstance(error, Exception):
                    raise
            else:
                for key, future in some:
                    if not future.done():  # it is cancelled if the client has left
                        future.set_result(by_key.get(key, []))
        form.is_running = False

    def _rows(self, form: _Form, keys: Sequence[Any]) -> dict[Any, list[list[Any]]]:
        self._engine.catch_up(form.source.name)
        shown = reply_values.row_converter([column.type for column in form.columns])
        has_doubles = any("DOUBLE" in str(column.type) for column in form.columns)
        by_key: dict[Any, list[list[Any]]] = defaultdict(list)
        cursor = self._engine.cursor()
        try:
            for key, *values in cursor.execute(form.sql, [list(keys)]).fetchall():
                row = shown(values)
                by_key[key].append([finite(value) for value in row] if has_doubles else row)
        finally:
            cursor.close()
        return by_key


def _without_key(analysis: Analysis, sample: str) -> Analysis | None:
    """The query without its condition on the key. None if the sample is not compared with the key, and only there."""
    if analysis.where is None or analysis.is_aggregation or analysis.joined:
        return None
    key = next((column.name for column in analysis.source.columns if column.is_key), None)
    parts = list(analysis.where.flatten()) if isinstance(analysis.where, exp.And) else [analysis.where]
    rest = [cast("exp.Expression", part) for part in parts if not _compares(part, key, sample)]
    others = [analysis.where, *(projection.expression for projection in analysis.projections)]
    uses = sum(literal.this == sample for part in others for literal in part.find_all(exp.Literal))
    if len(parts) - len(rest) != 1 or uses != 1:
        return None
    return replace(analysis, where=functools.reduce(_both, rest) if rest else None)


def _compares(part: exp.Expr, key: str | None, sample: str) -> bool:
    """True for ``key = sample``."""
    if not (isinstance(part, exp.EQ) and isinstance(part.this, exp.Column) and name_of(part.this.this) == key):
        return False
    return isinstance(part.expression, exp.Literal) and part.expression.this == sample


def _both(left: exp.Expression, right: exp.Expression) -> exp.Expression:
    return exp.And(this=left.copy(), expression=right.copy())


def _bounds(source: Source, columns: Sequence[Column]) -> list[str]:
    """The start of the window, if the query's columns do not have it."""
    return ["WINDOWSTART"] if source.window and "WINDOWSTART" not in {column.name for column in columns} else []
