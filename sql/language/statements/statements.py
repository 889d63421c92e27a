"""One ksqlDB statement as plain data: its text, its place, and the names that it creates and reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from sqlglot import exp

from opensea_metrics.core.errors import Place
from opensea_metrics.core.types import name_of
from opensea_metrics.sql.language.dialect import KsqlDB
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.rewriting import nodes

_DIALECT = KsqlDB()
_OWN = Place("<statement>", 1, 1)
"""The place of a statement that no user wrote."""


class Kind(Enum):
    """The kinds of statements that a migration or a server distinguishes."""

    CREATE_STREAM = "create stream"
    CREATE_TABLE = "create table"
    CREATE_STREAM_AS = "create stream as select"
    CREATE_TABLE_AS = "create table as select"
    INSERT_SELECT = "insert into … select"
    INSERT_VALUES = "insert into … values"
    ALTER = "alter"
    DROP_STREAM = "drop stream"
    DROP_TABLE = "drop table"
    TERMINATE = "terminate"
    PAUSE = "pause"
    RESUME = "resume"
    ASSERT = "assert"
    CONNECTOR = "connector"
    CREATE_TYPE = "create type"
    DROP_TYPE = "drop type"
    PRINT = "print"
    ALTER_SYSTEM = "alter system"
    SELECT = "select"
    SET = "set"
    UNSET = "unset"
    DEFINE = "define"
    UNDEFINE = "undefine"
    SHOW = "show"
    DESCRIBE = "describe"
    EXPLAIN = "explain"


@dataclass(frozen=True)
class Statement:
    """A parsed statement.

    ``text`` ends with a semicolon and is sent to servers. ``locate`` maps offsets in ``ast`` to places. ``memo`` keeps
    results that are computed from the statement. The methods that change a statement return a new one, without these
    results. Its text is written from the AST, without the user's comments and layout.
    """

    text: str
    place: Place
    ast: exp.Expression
    locate: Callable[[int], Place] = field(default=lambda _: _OWN, repr=False, compare=False)
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def kind(self) -> Kind:
        """The kind of the statement."""
        match ast := self.ast:
            case node.CreateSource():
                words = f"create {ast.args['kind'].lower()}"
                return Kind(f"{words} as select" if ast.args.get("query") else words)
            case node.DropSource():
                return Kind(f"drop {ast.args['kind'].lower()}")
            case node.QueryControl():
                return Kind(str(ast.args["action"]).lower())
            case node.ServerOnly():
                return Kind(str(ast.args["kind"]).lower())
            case node.SetProperty():
                return Kind.SET if ast.args.get("value") else Kind.UNSET
            case node.Define():
                return Kind.DEFINE if ast.args.get("value") else Kind.UNDEFINE
            case _:
                return _KINDS[type(ast)]

    @cached_property
    def name(self) -> str | None:
        """The stream, table or query that the statement creates, writes to, changes, ends or describes.

        The name is upper-cased unless it is quoted.
        """
        return name_of(self.ast.this) if isinstance(self.ast, _NAMING) else None

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The sources that the statement reads."""
        return tuple(name_of(part.this) for part in nodes(self.ast) if isinstance(part, node.SourceReference))

    @cached_property
    def calls(self) -> frozenset[str]:
        """The upper-cased names of the functions that the statement calls."""
        return frozenset(str(part.this).upper() for part in nodes(self.ast) if isinstance(part, exp.Anonymous))

    @property
    def properties(self) -> dict[str, str]:
        """The properties of the WITH clause, by upper-cased name. Values are text."""
        items = self.ast.args.get("properties") or []
        return {str(item.this.this).upper(): _text(item.args["value"]) for item in items}

    @property
    def topic(self) -> str | None:
        """The topic that a CREATE names, or implies by its sink's name. None for other statements."""
        if named := self.properties.get("KAFKA_TOPIC"):
            return named
        return self.name if self.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS) else None

    @property
    def replaces(self) -> bool:
        """True for CREATE OR REPLACE."""
        return bool(self.ast.args.get("replace"))

    @property
    def keeps_existing(self) -> bool:
        """True for CREATE … IF NOT EXISTS."""
        return bool(self.ast.args.get("if_not_exists"))

    @property
    def deletes_topic(self) -> bool:
        """True for DROP … DELETE TOPIC."""
        return bool(self.ast.args.get("delete_topic"))

    @property
    def starts_query(self) -> bool:
        """True if the statement starts a persistent query (CSAS, CTAS, INSERT INTO … SELECT)."""
        return self.kind in (Kind.CREATE_STREAM_AS, Kind.CREATE_TABLE_AS, Kind.INSERT_SELECT)

    def creating(self) -> Statement:
        """A CREATE without OR REPLACE and IF NOT EXISTS. Returns other statements unchanged."""
        return self._with(replace=False, if_not_exists=False)

    def replacing(self) -> Statement:
        """A CREATE as CREATE OR REPLACE. Returns other statements unchanged."""
        return self._with(replace=True, if_not_exists=False)

    def without_delete_topic(self) -> Statement:
        """A DROP that keeps the topic. Returns other statements unchanged."""
        return self._with(delete_topic=False)

    def without_property(self, name: str) -> Statement:
        """The statement without one property of its WITH clause. ``name`` is upper-cased."""
        if name not in self.properties:
            return self
        kept = [item for item in self.ast.args["properties"] if str(item.this.this).upper() != name]
        return self._with(properties=[item.copy() for item in kept])

    def renamed(self, names: Mapping[str, str], topics: Mapping[str, str]) -> Statement:
        """The statement with new names for its topic, and for the sources that it creates, writes to or reads.

        A source keeps its old name as its alias, so that columns may still be qualified with the old name.
        """
        ast = self.ast.copy()
        if (name := self.name) is not None and name in names:
            ast.set("this", _quoted(names[name]))
        for source in ast.find_all(node.SourceReference):
            if (name := name_of(source.this)) in names:
                source.set("this", _quoted(names[name]))
                if not source.args.get("alias"):
                    source.set("alias", _quoted(name))
        for item in ast.args.get("properties") or []:
            if str(item.this.this).upper() == "KAFKA_TOPIC" and _text(item.args["value"]) in topics:
                item.set("value", exp.Literal.string(topics[_text(item.args["value"])]))
        return self._of(ast)

    def _with(self, **args: object) -> Statement:
        """The statement with other arguments in its AST. Only arguments that the AST already has are set."""
        changed = {
            name: value
            for name, value in args.items()
            if name in self.ast.arg_types and (self.ast.args.get(name) or False) != value
        }
        if not changed:
            return self
        ast = self.ast.copy()
        for name, value in changed.items():
            ast.set(name, value)
        return self._of(ast)

    def _of(self, ast: exp.Expression) -> Statement:
        return self if ast == self.ast else replace(self, ast=ast, text=written(ast))


def written(ast: exp.Expression) -> str:
    """The text of a statement's AST, with its semicolon."""
    return f"{_DIALECT.generate(ast, copy=False)};"


def dropping(
    kind: str, name: str, place: Place = _OWN, delete_topic: bool = False, if_exists: bool = False
) -> Statement:
    """``DROP STREAM|TABLE name``. ``place`` is the place of the statement that makes the DROP necessary."""
    options = {"if_exists": if_exists, "delete_topic": delete_topic}
    return _stating(node.DropSource(this=_quoted(name), kind=kind, **options), place)


def terminating(query_id: str, place: Place = _OWN) -> Statement:
    """``TERMINATE query_id``. ``place`` is the place of the statement that makes the TERMINATE necessary."""
    return _stating(node.QueryControl(this=_quoted(query_id), action="TERMINATE"), place)


def creating_type(name: str, kind: exp.Expression) -> Statement:
    """``CREATE TYPE IF NOT EXISTS name AS kind``."""
    return _stating(node.CreateType(this=_quoted(name), kind=kind.copy(), if_not_exists=True))


def dropping_type(name: str) -> Statement:
    """``DROP TYPE IF EXISTS name``."""
    return _stating(node.DropType(this=_quoted(name), if_exists=True))


def _stating(ast: exp.Expression, place: Place = _OWN) -> Statement:
    return Statement(written(ast), place, ast)


_NAMING = (
    node.CreateSource, node.AlterSource, node.DropSource, node.InsertSelect, node.InsertValues, node.QueryControl,
    node.DescribeSource,
)  # fmt: skip
_KINDS: dict[type, Kind] = {
    node.AlterSource: Kind.ALTER,
    node.InsertSelect: Kind.INSERT_SELECT,
    node.InsertValues: Kind.INSERT_VALUES,
    node.SelectQuery: Kind.SELECT,
    node.Show: Kind.SHOW,
    node.DescribeSource: Kind.DESCRIBE,
    node.Explain: Kind.EXPLAIN,
    node.Assert: Kind.ASSERT,
    node.Connector: Kind.CONNECTOR,
    node.CreateType: Kind.CREATE_TYPE,
    node.DropType: Kind.DROP_TYPE,
}


def _quoted(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)


def _text(value: exp.Expression) -> str:
    if isinstance(value, exp.Neg):
        return "-" + _text(value.this)
    if isinstance(value, exp.Boolean):
        return str(value.this).lower()
    return str(value.this)
