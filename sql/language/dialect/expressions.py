"""Nodes for parts of ksqlDB statements that have no node in sqlglot."""

from __future__ import annotations

from sqlglot import exp


class ColumnDefinition(exp.Expression):
    """``name TYPE [KEY | PRIMARY KEY | HEADERS | HEADER('key')]`` in a CREATE; ``role`` is one of these or None."""

    arg_types = {"this": True, "kind": True, "role": False}


class CreateSource(exp.Expression):
    """``CREATE [OR REPLACE] [SOURCE] STREAM|TABLE [IF NOT EXISTS] name (columns) WITH (…)``.

    With ``query`` it is a CREATE … AS SELECT. ``kind`` is "STREAM" or "TABLE", and ``properties`` are
    :class:`Property` nodes.
    """

    arg_types = {
        "this": True,
        "kind": True,
        "replace": False,
        "read_only": False,
        "if_not_exists": False,
        "expressions": False,
        "properties": False,
        "query": False,
    }


class Property(exp.Expression):
    """``NAME = literal`` in a WITH clause. The name is an Identifier, or a Literal if it is in single quotes."""

    arg_types = {"this": True, "value": True}


class InsertSelect(exp.Expression):
    """``INSERT INTO name [WITH (…)] SELECT …``."""

    arg_types = {"this": True, "properties": False, "query": True}


class InsertValues(exp.Expression):
    """``INSERT INTO name [(columns)] VALUES (…)``."""

    arg_types = {"this": True, "columns": False, "expressions": False}


class SelectQuery(exp.Expression):
    """A SELECT in ksqlDB's clause order. ``emit`` is "CHANGES", "FINAL", or None in a pull query."""

    arg_types = {
        "expressions": True,
        "source": True,
        "joins": False,
        "window": False,
        "where": False,
        "group": False,
        "partition": False,
        "having": False,
        "emit": False,
        "limit": False,
    }


class SourceReference(exp.Expression):
    """A stream or table in a FROM clause. ``alias`` is an Identifier or None."""

    arg_types = {"this": True, "alias": False}


class SourceJoin(exp.Expression):
    """``[INNER | LEFT | RIGHT | FULL] JOIN source [WITHIN …] ON condition``."""

    arg_types = {"this": True, "side": True, "within": False, "on": True}


class Within(exp.Expression):
    """``WITHIN`` in a join: how long before and after a row the other row may be, in milliseconds."""

    arg_types = {"before": True, "after": True, "grace": False}


class SourceWindow(exp.Expression):
    """``WINDOW TUMBLING | HOPPING | SESSION (…)``, with all durations in milliseconds.

    ``size`` is the window's size, or the inactivity gap of a session window.
    """

    arg_types = {
        "kind": True,
        "size": True,
        "advance": False,
        "retention": False,
        "grace": False,
    }


class AlterSource(exp.Expression):
    """``ALTER STREAM|TABLE name ADD COLUMN name TYPE, …``."""

    arg_types = {"this": True, "kind": True, "expressions": True}


class DropSource(exp.Expression):
    """``DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]``."""

    arg_types = {"this": True, "kind": True, "if_exists": False, "delete_topic": False}


class Connector(exp.Expression):
    """``CREATE | DROP … CONNECTOR …``. Only a server reads such a statement; ``this`` is its text."""

    arg_types = {"this": True}


class CreateType(exp.Expression):
    """``CREATE TYPE [IF NOT EXISTS] name AS type``."""

    arg_types = {"this": True, "kind": True, "if_not_exists": False}


class DropType(exp.Expression):
    """``DROP TYPE [IF EXISTS] name``."""

    arg_types = {"this": True, "if_exists": False}


class ServerOnly(exp.Expression):
    """A statement that only a server reads: ``this`` is its text, ``kind`` is "PRINT" or "ALTER SYSTEM"."""

    arg_types = {"this": True, "kind": True}


class QueryControl(exp.Expression):
    """``TERMINATE | PAUSE | RESUME query_id|ALL``."""

    arg_types = {"this": True, "action": True}


class SetProperty(exp.Expression):
    """``SET 'name' = 'value'``, or ``UNSET 'name'`` if ``value`` is None."""

    arg_types = {"this": True, "value": False}


class Define(exp.Expression):
    """``DEFINE name = 'value'``, or ``UNDEFINE name`` if ``value`` is None."""

    arg_types = {"this": True, "value": False}


class Assert(exp.Expression):
    """``ASSERT [NOT EXISTS] TOPIC name [WITH (…)] [TIMEOUT …]``, with ``timeout`` in milliseconds.

    ``kind`` is "TOPIC" or "SCHEMA". For a schema, ``this`` is the text of the whole statement.
    """

    arg_types = {
        "this": True,
        "kind": True,
        "exists": True,
        "properties": False,
        "timeout": False,
    }


class Show(exp.Expression):
    """``SHOW | LIST what [EXTENDED]``. ``what`` is upper-cased, such as ``QUERIES``. ``described`` is true for the
    forms ``DESCRIBE STREAMS`` and ``DESCRIBE TABLES``."""

    arg_types = {"this": True, "extended": False, "described": False}


class DescribeSource(exp.Expression):
    """``DESCRIBE name [EXTENDED]`` or ``DESCRIBE FUNCTION name``."""

    arg_types = {"this": True, "extended": False, "function": False}


class Explain(exp.Expression):
    """``EXPLAIN query_id`` (``this``) or ``EXPLAIN statement`` (``statement``)."""

    arg_types = {"this": False, "statement": False}
