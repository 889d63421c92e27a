"""ksqlDB's grammar. This module reads statements, and sqlglot's parser reads expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from sqlglot import exp, parser
from sqlglot.tokenizer_core import TokenType

from opensea_metrics.core.wording import nearest
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.definitions import Definitions
from opensea_metrics.sql.language.dialect.lexical import WORDS

_EXTENDABLE = ("STREAMS", "TABLES", "QUERIES", "TOPICS", "ALL TOPICS")
_SHOWN = (
    *_EXTENDABLE, "PROPERTIES", "FUNCTIONS", "CONNECTORS", "SOURCE CONNECTORS", "SINK CONNECTORS",
    "CONNECTOR PLUGINS", "TYPES", "VARIABLES",
)  # fmt: skip
"""The words that may follow SHOW and LIST."""


def _field_access(
    self: KsqlDBParser, this: exp.Expression, field: exp.Expression
) -> exp.Expression:
    """``struct->field``. sqlglot reads the field's name as a column."""
    if isinstance(field, exp.Column) and field.args.get("table"):
        self.raise_error("Expecting '->' before the name of a field", self._prev)  # a->b.c
    name = field.this if isinstance(field, exp.Column) else field
    access = self.expression(exp.Dot(this=this, expression=name))
    access.meta["is_field_access"] = True  # sqlglot creates the same node for (struct).field
    return access


def _lambda(self: KsqlDBParser, parameters: list[exp.Expression]) -> exp.Expression:
    """``x => body``. In the body, a parameter stays a column without a source."""
    return self.expression(exp.Lambda(this=self._expression(), expressions=parameters))


class KsqlDBParser(Definitions):
    """Reads one statement into a node of :mod:`sql.language.dialect.expressions`.

    Functions keep the names that the user wrote (``exp.Anonymous``). :mod:`sql.language.functions.library` knows the
    functions and their types; sqlglot does not.
    """

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS = {"CAST": parser.Parser.FUNCTION_PARSERS["CAST"]}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {"CASE": lambda self: self._ksql_case()}
    COLUMN_OPERATORS: ClassVar[dict[Any, Any]] = {
        TokenType.DOT: None,
        TokenType.ARROW: _field_access,
    }
    UNARY_PARSERS: ClassVar[dict[Any, Any]] = {
        **parser.Parser.UNARY_PARSERS,
        TokenType.PLUS: lambda self: self._signed(),
    }
    LAMBDAS: ClassVar[dict[Any, Any]] = {TokenType.FARROW: _lambda}
    STRICT_CAST = False

    def _signed(self) -> exp.Expr | None:
        """The number after a plus sign. The sign has no other meaning."""
        operand = self._parse_unary()
        if operand is not None:
            operand.meta["is_signed"] = True
        return operand

    def _negate_range(self, this: exp.Expr | None = None) -> exp.Expr | None:
        """NOT before an operator. sqlglot would also accept ``a NOT NULL`` and ``a NOT IS NULL``."""
        if not isinstance(this, exp.Between | exp.Escape | exp.In | exp.Like):
            self.raise_error("Expecting BETWEEN, IN or LIKE after NOT", self._prev)
        return super()._negate_range(this)

    def _parse_paren(self) -> exp.Expr | None:
        """Mark the parentheses that the user wrote. sqlglot adds its own to ``a = b IS NULL``."""
        inner = super()._parse_paren()
        if isinstance(inner, exp.Paren):
            inner.meta["is_written"] = True
        return inner

    def _ksql_case(self) -> exp.Expression:
        """The part after CASE. sqlglot would also accept it without THEN, or without any WHEN."""
        this = None if self._match(TokenType.WHEN, advance=False) else self._expression()
        cases: list[exp.Expression] = []
        while not cases or self._match(TokenType.WHEN, advance=False):
            self._expect("WHEN")
            condition = self._expression()
            self._expect("THEN")
            cases.append(self.expression(exp.If(this=condition, true=self._expression())))
        default = self._expression() if self._word("ELSE") else None
        self._expect("END")
        return self.expression(exp.Case(this=this, ifs=cases, default=default))

    def _parse_between(self, this: exp.Expr | None) -> exp.Between:
        """``BETWEEN low AND high``. sqlglot would also accept it without the AND."""
        low = self._parse_bitwise()
        if not self._match(TokenType.AND):
            self.raise_error("Expecting AND")
        return self.expression(exp.Between(this=this, low=low, high=self._parse_bitwise()))

    def _parse_escape(self, this: exp.Expr | None) -> exp.Expr | None:
        """``ESCAPE 'x'``. Without a text after it, ESCAPE is an alias."""
        if self._next and self._next.token_type == TokenType.STRING:
            return super()._parse_escape(this)
        return this

    def _parse_statement(self) -> exp.Expression | None:
        if not self._curr:
            return None
        first = self._curr.text.upper()
        second = self._next.text.upper() if self._next else ""
        if (first, second) == ("DESCRIBE", "CONNECTOR"):
            return self._ksql_connector(self._curr)
        for kind in ("PRINT", "ALTER SYSTEM"):
            if kind in (first, f"{first} {second}"):
                return self.expression(node.ServerOnly(this=self._rest(self._curr), kind=kind))
        reader = _READERS.get(first)
        if reader is None:
            near = nearest(first, _READERS)
            meant = f"\nDid you mean '{near}'?" if near else ""
            self.raise_error(f"Unknown statement '{self._curr.text}'{meant}")
            return None
        return reader(self)

    def _ksql_query_control(self) -> exp.Expression:
        action = self._curr.text.upper()
        self._advance()
        return self.expression(node.QueryControl(this=self._name(), action=action))

    def _ksql_set(self) -> exp.Expression:
        is_set = self._word("SET")
        if not is_set:
            self._expect("UNSET")
        name = self._text()
        value = None
        if is_set:
            if not self._match(TokenType.EQ):
                self.raise_error("Expecting '='")
            value = self._text()
        return self.expression(node.SetProperty(this=name, value=value))

    def _ksql_define(self) -> exp.Expression:
        is_define = self._word("DEFINE")
        if not is_define:
            self._expect("UNDEFINE")
        if not self._curr or self._curr.token_type not in WORDS or self._curr.text[0].isdigit():
            self.raise_error("Expecting IDENTIFIER")  # observed: ksqlDB refuses `a` and 1a
        name = self._name()
        value = None
        if is_define:
            if not self._match(TokenType.EQ):
                self.raise_error("Expecting '='")
            value = self._text()
        return self.expression(node.Define(this=name, value=value))

    def _ksql_assert(self) -> exp.Expression:
        first = self._curr
        self._expect("ASSERT")
        exists = not self._word("NOT", "EXISTS")
        if self._word("SCHEMA"):
            return self.expression(node.Assert(this=self._rest(first), kind="SCHEMA", exists=exists))
        if not self._word("TOPIC"):
            self._unexpected()
        name = self._parse_string() or self._name()
        properties = self._ksql_properties()
        timeout = self._duration() if self._word("TIMEOUT") else None
        return self.expression(
            node.Assert(this=name, kind="TOPIC", exists=exists, properties=properties, timeout=timeout)
        )

    def _ksql_show(self) -> exp.Expression:
        if not self._word("SHOW"):
            self._expect("LIST")
        words = next((words for words in _SHOWN if self._word(*words.split())), None)
        if words is None:
            self._unexpected()
        extended = words in _EXTENDABLE and self._word("EXTENDED")
        return self.expression(node.Show(this=exp.var(words), extended=extended))

    def _ksql_describe(self) -> exp.Expression:
        self._expect("DESCRIBE")
        function = self._word("FUNCTION")
        for words in ("STREAMS", "TABLES"):
            if not function and self._word(words):
                extended = self._word("EXTENDED")
                return self.expression(
                    node.Show(this=exp.var(words), extended=extended, described=True)
                )
        name = self._name()
        extended = self._word("EXTENDED")
        return self.expression(
            node.DescribeSource(this=name, extended=extended, function=function)
        )

    def _ksql_explain(self) -> exp.Expression:
        self._expect("EXPLAIN")
        if self._next:  # a query's id is one word
            return self.expression(node.Explain(statement=self._parse_statement()))
        return self.expression(node.Explain(this=self._name()))


_READERS: Mapping[str, Callable[[KsqlDBParser], exp.Expression]] = {
    "CREATE": KsqlDBParser._ksql_create,
    "INSERT": KsqlDBParser._ksql_insert,
    "SELECT": KsqlDBParser._ksql_query,
    "ALTER": KsqlDBParser._ksql_alter,
    "DROP": KsqlDBParser._ksql_drop,
    "TERMINATE": KsqlDBParser._ksql_query_control,
    "PAUSE": KsqlDBParser._ksql_query_control,
    "RESUME": KsqlDBParser._ksql_query_control,
    "SET": KsqlDBParser._ksql_set,
    "UNSET": KsqlDBParser._ksql_set,
    "SHOW": KsqlDBParser._ksql_show,
    "LIST": KsqlDBParser._ksql_show,
    "DESCRIBE": KsqlDBParser._ksql_describe,
    "EXPLAIN": KsqlDBParser._ksql_explain,
    "DEFINE": KsqlDBParser._ksql_define,
    "UNDEFINE": KsqlDBParser._ksql_define,
    "ASSERT": KsqlDBParser._ksql_assert,
}
FIRST_WORDS = frozenset((*_READERS, "PRINT"))
"""The words that begin a statement."""
