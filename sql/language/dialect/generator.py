"""AST → text: the inverse of the parser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from sqlglot import exp, generator

from opensea_metrics.core.quoting import ksqldb_quoted, ksqldb_text
from opensea_metrics.sql.language.dialect import expressions as node

_UNITS = ((86_400_000, "DAY"), (3_600_000, "HOUR"), (60_000, "MINUTE"), (1_000, "SECOND"))


class KsqlDBGenerator(generator.Generator):
    """Writes each node of :mod:`sql.language.dialect.expressions` as text that the parser reads as an equal node.

    The tokenizer drops comments and layout, so they are not in the AST and are lost.
    """

    NORMALIZE_FUNCTIONS = False
    TYPE_MAPPING: ClassVar[dict[Any, str]] = {
        exp.DType.TEXT: "STRING",
        exp.DType.VARCHAR: "VARCHAR",
        exp.DType.VARBINARY: "BYTES",
    }

    def _create_source(self, create: exp.Expression) -> str:
        """``CREATE … STREAM|TABLE``, with or without AS SELECT."""
        columns = create.args.get("expressions")
        return _words(
            "CREATE",
            create.args.get("replace") and "OR REPLACE",
            create.args.get("read_only") and "SOURCE",
            create.args["kind"],
            create.args.get("if_not_exists") and "IF NOT EXISTS",
            self.sql(create, "this"),
            columns and f"({self._list(columns)})",
            self._properties(create),
            create.args.get("query") and f"AS {self.sql(create, 'query')}",
        )

    def _column_definition(self, column: exp.Expression) -> str:
        """A column in a CREATE or ALTER."""
        return _words(self.sql(column, "this"), self.sql(column, "kind"), column.args.get("role"))

    def _property(self, item: exp.Expression) -> str:
        """``NAME = literal``."""
        return f"{self.sql(item, 'this')} = {self.sql(item, 'value')}"

    def _insert_select(self, insert: exp.Expression) -> str:
        """``INSERT INTO … SELECT``."""
        return _words(
            "INSERT INTO", self.sql(insert, "this"), self._properties(insert), self.sql(insert, "query")
        )

    def _insert_values(self, insert: exp.Expression) -> str:
        """``INSERT INTO … VALUES``."""
        columns = insert.args.get("columns")
        return _words(
            "INSERT INTO",
            self.sql(insert, "this"),
            columns and f"({self._list(columns)})",
            f"VALUES ({self._list(insert.expressions)})",
        )

    def _alter_source(self, alter: exp.Expression) -> str:
        """``ALTER … ADD COLUMN``."""
        columns = ", ".join(f"ADD COLUMN {self.sql(column)}" for column in alter.expressions)
        return _words("ALTER", alter.args["kind"], self.sql(alter, "this"), columns)

    def _drop_source(self, drop: exp.Expression) -> str:
        """``DROP STREAM|TABLE``."""
        return _words(
            "DROP",
            drop.args["kind"],
            drop.args.get("if_exists") and "IF EXISTS",
            self.sql(drop, "this"),
            drop.args.get("delete_topic") and "DELETE TOPIC",
        )

    def _connector(self, connector: exp.Expression) -> str:
        """A statement that only a server reads, as it was written."""
        return str(connector.this)

    def _create_type(self, create: exp.Expression) -> str:
        """``CREATE TYPE``."""
        existing = create.args.get("if_not_exists") and "IF NOT EXISTS"
        return _words("CREATE TYPE", existing, self.sql(create, "this"), "AS", self.sql(create, "kind"))

    def _drop_type(self, drop: exp.Expression) -> str:
        """``DROP TYPE``."""
        return _words("DROP TYPE", drop.args.get("if_exists") and "IF EXISTS", self.sql(drop, "this"))

    def _query_control(self, control: exp.Expression) -> str:
        """``TERMINATE``, ``PAUSE`` or ``RESUME``."""
        return f"{control.args['action']} {self.sql(control, 'this')}"

    def _set_property(self, item: exp.Expression) -> str:
        """``SET`` or ``UNSET``."""
        if item.args.get("value") is None:
            return f"UNSET {self.sql(item, 'this')}"
        return f"SET {self.sql(item, 'this')} = {self.sql(item, 'value')}"

    def _define(self, define: exp.Expression) -> str:
        """``DEFINE`` or ``UNDEFINE``."""
        if define.args.get("value") is None:
            return f"UNDEFINE {self.sql(define, 'this')}"
        return f"DEFINE {self.sql(define, 'this')} = {self.sql(define, 'value')}"

    def _assert(self, item: exp.Expression) -> str:
        """``ASSERT TOPIC|SCHEMA``. An assertion about a schema keeps its text."""
        if item.args["kind"] == "SCHEMA":
            return str(item.this)
        timeout = item.args.get("timeout")
        return _words(
            "ASSERT",
            not item.args["exists"] and "NOT EXISTS",
            "TOPIC",
            self.sql(item, "this"),
            self._properties(item),
            timeout and f"TIMEOUT {_duration(timeout)}",
        )

    def _show(self, show: exp.Expression) -> str:
        """``SHOW``, or the forms of DESCRIBE that have the same meaning."""
        verb = "DESCRIBE" if show.args.get("described") else "SHOW"
        return _words(verb, self.sql(show, "this"), show.args.get("extended") and "EXTENDED")

    def _describe_source(self, describe: exp.Expression) -> str:
        """``DESCRIBE`` with a source or a function."""
        return _words(
            "DESCRIBE",
            describe.args.get("function") and "FUNCTION",
            self.sql(describe, "this"),
            describe.args.get("extended") and "EXTENDED",
        )

    def _explain(self, explain: exp.Expression) -> str:
        """``EXPLAIN`` with a query's id or a statement."""
        return f"EXPLAIN {self.sql(explain, 'this') or self.sql(explain, 'statement')}"

    def _query(self, query: exp.Expression) -> str:
        """A SELECT in ksqlDB's clause order."""
        args = query.args
        return _words(
            f"SELECT {self._list(query.expressions)}",
            f"FROM {self.sql(query, 'source')}",
            *(self.sql(join) for join in args.get("joins") or ()),
            self.sql(query, "window"),
            args.get("where") and f"WHERE {self.sql(query, 'where')}",
            args.get("group") and f"GROUP BY {self._list(args['group'])}",
            args.get("partition") and f"PARTITION BY {self._list(args['partition'])}",
            args.get("having") and f"HAVING {self.sql(query, 'having')}",
            args.get("emit") and f"EMIT {args['emit']}",
            args.get("limit") and f"LIMIT {self.sql(query, 'limit')}",
        )

    def _source(self, source: exp.Expression) -> str:
        """A stream or table in a FROM clause."""
        alias = self.sql(source, "alias")
        return _words(self.sql(source, "this"), alias and f"AS {alias}")

    def _source_join(self, join: exp.Expression) -> str:
        """``JOIN … ON``."""
        return _words(
            f"{join.args['side']} JOIN",
            self.sql(join, "this"),
            self.sql(join, "within"),
            f"ON {self.sql(join, 'on')}",
        )

    def _within(self, within: exp.Expression) -> str:
        """``WITHIN``, with two durations if they differ."""
        before, after = _duration(within.args["before"]), _duration(within.args["after"])
        grace = within.args.get("grace")
        return _words(
            f"WITHIN {before}" if before == after else f"WITHIN ({before}, {after})",
            grace and f"GRACE PERIOD {_duration(grace)}",
        )

    def _source_window(self, window: exp.Expression) -> str:
        """``WINDOW``."""
        size = _duration(window.args["size"])
        clauses = [size if window.args["kind"] == "SESSION" else f"SIZE {size}"]
        for name, words in (("advance", "ADVANCE BY"), ("retention", "RETENTION"), ("grace", "GRACE PERIOD")):
            if duration := window.args.get(name):
                clauses.append(f"{words} {_duration(duration)}")
        return f"WINDOW {window.args['kind']} ({', '.join(clauses)})"

    def datatype_sql(self, expression: exp.DataType) -> str:
        """A type. A STRUCT without fields is written ``< >``, because ``<>`` is an operator."""
        if expression.this == exp.DType.STRUCT and not expression.expressions:
            return "STRUCT< >"
        return super().datatype_sql(expression)

    def anonymous_sql(self, expression: exp.Anonymous) -> str:
        """A call, with the function's name as the user wrote it."""
        return f"{expression.this}({self._list(expression.expressions)})"

    def trycast_sql(self, expression: exp.TryCast) -> str:
        """``CAST(…)``, which returns NULL if the cast fails."""
        return f"CAST({self.sql(expression, 'this')} AS {self.sql(expression, 'to')})"

    def array_sql(self, expression: exp.Array) -> str:
        """``ARRAY[…]``."""
        return f"ARRAY[{self._list(expression.expressions)}]"

    def bracket_sql(self, expression: exp.Bracket) -> str:
        """An element of an array or a map."""
        return f"{self.sql(expression, 'this')}[{self._list(expression.expressions)}]"

    def dot_sql(self, expression: exp.Dot) -> str:
        """A field of a struct."""
        return f"{self.sql(expression, 'this')}->{self.sql(expression, 'expression')}"

    def lambda_sql(self, expression: exp.Lambda, arrow_sep: str = "=>", wrap: bool = True) -> str:
        """``x => …`` or ``(x, y) => …``."""
        parameters = self._list(expression.expressions)
        several = f"({parameters})" if len(expression.expressions) > 1 else parameters
        return f"{several} {arrow_sep} {self.sql(expression, 'this')}"

    def propertyeq_sql(self, expression: exp.PropertyEQ) -> str:
        """An entry of ``MAP(…)`` or ``STRUCT(…)``."""
        return f"{self.sql(expression, 'this')} := {self.sql(expression, 'expression')}"

    def not_sql(self, expression: exp.Not) -> str:
        """``NOT …``. An operator with a negated form gets the NOT inside."""
        inner = expression.this
        if isinstance(inner, exp.Is):
            return f"{self.sql(inner, 'this')} IS NOT {self.sql(inner, 'expression')}"
        if isinstance(inner, exp.In):
            return f"{self.sql(inner, 'this')} NOT IN ({self._list(inner.expressions)})"
        if isinstance(inner, exp.Between):
            return f"{self.sql(inner, 'this')} NOT {self._bounds(inner)}"
        return f"NOT {self.sql(inner)}"

    def in_sql(self, expression: exp.In) -> str:
        """``… IN (…)``."""
        return f"{self.sql(expression, 'this')} IN ({self._list(expression.expressions)})"

    def between_sql(self, expression: exp.Between) -> str:
        """``… BETWEEN … AND …``."""
        return f"{self.sql(expression, 'this')} {self._bounds(expression)}"

    def literal_sql(self, expression: exp.Literal) -> str:
        """A number as the user wrote it, or a text."""
        value = str(expression.this)
        return ksqldb_text(value) if expression.is_string else value

    def identifier_sql(self, expression: exp.Identifier) -> str:
        """A name. It is in backticks if the user quoted it."""
        name = str(expression.this)
        return ksqldb_quoted(name) if expression.args.get("quoted") else name

    # sqlglot finds the methods for its own nodes by their names. Our own nodes need this table.
    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **generator.Generator.TRANSFORMS,
        node.CreateSource: _create_source,
        node.ColumnDefinition: _column_definition,
        node.Property: _property,
        node.InsertSelect: _insert_select,
        node.InsertValues: _insert_values,
        node.AlterSource: _alter_source,
        node.DropSource: _drop_source,
        node.Connector: _connector,
        node.ServerOnly: _connector,
        node.CreateType: _create_type,
        node.DropType: _drop_type,
        node.QueryControl: _query_control,
        node.SetProperty: _set_property,
        node.Define: _define,
        node.Assert: _assert,
        node.Show: _show,
        node.DescribeSource: _describe_source,
        node.Explain: _explain,
        node.SelectQuery: _query,
        node.SourceReference: _source,
        node.SourceJoin: _source_join,
        node.Within: _within,
        node.SourceWindow: _source_window,
    }

    def _bounds(self, between: exp.Expression) -> str:
        return f"BETWEEN {self.sql(between, 'low')} AND {self.sql(between, 'high')}"

    def _list(self, expressions: Iterable[exp.Expression]) -> str:
        return ", ".join(self.sql(item) for item in expressions)

    def _properties(self, statement: exp.Expression) -> str:
        properties = statement.args.get("properties")
        return f"WITH ({self._list(properties)})" if properties else ""


def _words(*words: Any) -> str:
    """Join words with spaces, leaving out empty and false ones."""
    return " ".join(str(word) for word in words if word)


def _duration(milliseconds: exp.Expression) -> str:
    """A literal number of milliseconds in the largest unit that divides it."""
    amount = int(str(milliseconds.this))
    for size, unit in _UNITS:
        if amount and amount % size == 0:
            return f"{amount // size} {unit}" + ("S" if amount != size else "")
    return f"{amount} MILLISECOND" + ("S" if amount != 1 else "")
