"""AST → text of statements and queries: the inverse of the parser."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp

from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.expression_generator import ExpressionGenerator

_UNITS = ((86_400_000, "DAY"), (3_600_000, "HOUR"), (60_000, "MINUTE"), (1_000, "SECOND"))


class KsqlDBGenerator(ExpressionGenerator):
    """Writes each node of :mod:`sql.language.dialect.expressions` as text that the parser reads as an equal node.

    The tokenizer drops comments and layout, so they are not in the AST and are lost.
    """

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
        return self._assigned("SET", "UNSET", item)

    def _define(self, define: exp.Expression) -> str:
        """``DEFINE`` or ``UNDEFINE``."""
        return self._assigned("DEFINE", "UNDEFINE", define)

    def _assigned(self, verb: str, inverse: str, item: exp.Expression) -> str:
        if item.args.get("value") is None:
            return f"{inverse} {self.sql(item, 'this')}"
        return f"{verb} {self._property(item)}"

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

    # sqlglot finds the methods for its own nodes by their names. Our own nodes need this table.
    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **ExpressionGenerator.TRANSFORMS,
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
