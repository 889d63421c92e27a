"""ksqlDB's grammar: statements by this module, expressions by sqlglot's parser."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, ClassVar

from sqlglot import exp, parser
from sqlglot.tokenizer_core import TokenType

from sql.dialect import expressions as node

_MILLISECONDS = {
    "MILLISECOND": 1,
    "SECOND": 1_000,
    "MINUTE": 60_000,
    "HOUR": 3_600_000,
    "DAY": 86_400_000,
}


def _field_access(
    self: KsqlDBParser, this: exp.Expression, field: exp.Expression
) -> exp.Expression:
    """``struct->field``: sqlglot reads the field's name as a column."""
    name = field.this if isinstance(field, exp.Column) else field
    return self.expression(exp.Dot(this=this, expression=name))


def _lambda(self: KsqlDBParser, parameters: list[exp.Expression]) -> exp.Expression:
    """``x => body``; in the body a parameter stays a column without a source."""
    return self.expression(exp.Lambda(this=self._expression(), expressions=parameters))


class KsqlDBParser(parser.Parser):
    """Reads one statement into a node of :mod:`sql.dialect.expressions`.

    Functions are kept under the names that the user wrote (``exp.Anonymous``): which functions
    there are, and their types, is :mod:`sql.functions`' affair, not sqlglot's.
    """

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS = {"CAST": parser.Parser.FUNCTION_PARSERS["CAST"]}
    NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
    NO_PAREN_FUNCTION_PARSERS = {"CASE": parser.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}
    COLUMN_OPERATORS: ClassVar[dict[Any, Any]] = {
        TokenType.DOT: None,
        TokenType.ARROW: _field_access,
    }
    LAMBDAS: ClassVar[dict[Any, Any]] = {TokenType.FARROW: _lambda}
    STRICT_CAST = False

    def _parse_statement(self) -> exp.Expression | None:
        if not self._curr:
            return None
        first = self._curr.text.upper()
        readers: dict[str, Callable[[], exp.Expression]] = {
            "CREATE": self._ksql_create,
            "INSERT": self._ksql_insert,
            "SELECT": self._ksql_query,
            "ALTER": self._ksql_alter,
            "DROP": self._ksql_drop,
            "TERMINATE": self._ksql_query_control,
            "PAUSE": self._ksql_query_control,
            "RESUME": self._ksql_query_control,
            "SET": self._ksql_set,
            "UNSET": self._ksql_set,
            "SHOW": self._ksql_show,
            "LIST": self._ksql_show,
            "DESCRIBE": self._ksql_describe,
            "EXPLAIN": self._ksql_explain,
            "DEFINE": self._ksql_define,
            "UNDEFINE": self._ksql_define,
            "ASSERT": self._ksql_assert,
        }
        reader = readers.get(first)
        if reader is None:
            near = difflib.get_close_matches(first, readers, n=1)
            meant = f"\nDid you mean '{near[0]}'?" if near else ""
            self.raise_error(f"Unknown statement '{self._curr.text}'{meant}")
            return None
        return reader()

    def _word(self, *words: str) -> bool:
        return bool(self._match_text_seq(*words))

    def _expect(self, *words: str) -> None:
        if not self._word(*words):
            found = f"'{self._curr.text}'" if self._curr else "the end of the statement"
            self.raise_error(f"Expecting {' '.join(words)}, found {found}")

    def _name(self) -> exp.Identifier:
        if self._curr and self._curr.token_type in (TokenType.STRING, TokenType.NUMBER):
            self.raise_error(f"Expecting a name, found {self._curr.text!r}")
        name = self._parse_id_var()
        if not isinstance(name, exp.Identifier):
            self.raise_error("Expecting a name")
            raise AssertionError  # raise_error has raised
        return name

    def _literal(self) -> exp.Expression:
        value = self._parse_unary()
        if not isinstance(value, exp.Literal | exp.Boolean | exp.Neg | exp.Null):
            self.raise_error("Expecting a literal", self._prev)
            raise AssertionError  # raise_error has raised
        return value

    def _expression(self) -> exp.Expression:
        value = self._parse_disjunction()
        if value is None:
            found = f"'{self._curr.text}'" if self._curr else "the end of the statement"
            self.raise_error(f"Expecting an expression, found {found}")
        assert isinstance(value, exp.Expression)
        return value

    # -- CREATE, INSERT, DROP ---------------------------------------------------------------

    def _ksql_connector(self) -> exp.Expression:
        while self._curr:
            self._advance()
        return self.expression(node.Connector())

    def _is_connector(self) -> bool:
        words = [token.text.upper() for token in self._tokens[self._index : self._index + 2]]
        return "CONNECTOR" in words

    def _ksql_create(self) -> exp.Expression:
        self._expect("CREATE")
        if self._is_connector():  # CREATE SOURCE|SINK CONNECTOR
            return self._ksql_connector()
        replace = self._word("OR", "REPLACE")
        read_only = self._word("SOURCE")
        kind = self._stream_or_table()
        if_not_exists = self._word("IF", "NOT", "EXISTS")
        name = self._name()
        columns = self._ksql_columns() if self._match(TokenType.L_PAREN) else []
        properties = self._ksql_properties()
        query = None
        if self._word("AS"):
            query = self._ksql_query()
        return self.expression(
            node.CreateSource(
                this=name,
                kind=kind,
                replace=replace,
                read_only=read_only,
                if_not_exists=if_not_exists,
                expressions=columns,
                properties=properties,
                query=query,
            )
        )

    def _stream_or_table(self) -> str:
        for kind in ("STREAM", "TABLE"):
            if self._word(kind):
                return kind
        self.raise_error("Expecting STREAM or TABLE")
        raise AssertionError  # raise_error has raised

    def _ksql_columns(self) -> list[exp.Expression]:
        columns: list[exp.Expression] = []
        while True:
            name = self._name()
            kind = self._parse_types(schema=True)
            if not isinstance(kind, exp.DataType):
                self.raise_error(f"Expecting a type for column {name.name}")
            role = None
            if self._word("PRIMARY", "KEY"):
                role = "PRIMARY KEY"
            elif self._word("KEY"):
                role = "KEY"
            elif self._word("HEADERS"):
                role = "HEADERS"
            columns.append(
                self.expression(node.ColumnDefinition(this=name, kind=kind, role=role))
            )
            if not self._match(TokenType.COMMA):
                break
        self._closing()
        return columns

    def _closing(self) -> None:
        if not self._match(TokenType.R_PAREN):
            self.raise_error("Expecting ',' or ')'")

    def _ksql_properties(self) -> list[exp.Expression]:
        properties: list[exp.Expression] = []
        if not self._word("WITH"):
            return properties
        self._match_l_paren()
        while True:
            name = self._name()
            if not self._match(TokenType.EQ):
                self.raise_error(f"Expecting '=' after {name.name}")
            properties.append(self.expression(node.Property(this=name, value=self._literal())))
            if not self._match(TokenType.COMMA):
                break
        self._closing()
        return properties

    def _ksql_insert(self) -> exp.Expression:
        self._expect("INSERT", "INTO")
        name = self._name()
        columns: list[exp.Expression] = []
        if self._match(TokenType.L_PAREN):
            columns.append(self._name())
            while self._match(TokenType.COMMA):
                columns.append(self._name())
            self._closing()
        if self._word("VALUES"):
            self._match_l_paren()
            values = [self._expression()]
            while self._match(TokenType.COMMA):
                values.append(self._expression())
            self._closing()
            return self.expression(
                node.InsertValues(this=name, columns=columns, expressions=values)
            )
        properties = self._ksql_properties()
        return self.expression(
            node.InsertSelect(this=name, properties=properties, query=self._ksql_query())
        )

    def _ksql_alter(self) -> exp.Expression:
        self._expect("ALTER")
        kind = self._stream_or_table()
        name = self._name()
        columns = [self._ksql_added_column()]
        while self._match(TokenType.COMMA):
            columns.append(self._ksql_added_column())
        return self.expression(node.AlterSource(this=name, kind=kind, expressions=columns))

    def _ksql_added_column(self) -> exp.Expression:
        self._expect("ADD")
        self._word("COLUMN")
        name = self._name()
        kind = self._parse_types(schema=True)
        if not isinstance(kind, exp.DataType):
            self.raise_error(f"Expecting a type for column {name.name}")
        return self.expression(node.ColumnDefinition(this=name, kind=kind, role=None))

    def _ksql_drop(self) -> exp.Expression:
        self._expect("DROP")
        if self._is_connector():
            return self._ksql_connector()
        kind = self._stream_or_table()
        if_exists = self._word("IF", "EXISTS")
        name = self._name()
        delete_topic = self._word("DELETE", "TOPIC")
        return self.expression(
            node.DropSource(this=name, kind=kind, if_exists=if_exists, delete_topic=delete_topic)
        )

    # -- SELECT ------------------------------------------------------------------------------

    def _ksql_query(self) -> exp.Expression:
        self._expect("SELECT")
        projections = [self._ksql_projection()]
        while self._match(TokenType.COMMA):
            projections.append(self._ksql_projection())
        self._expect("FROM")
        source = self._ksql_source()
        joins = list(iter(self._ksql_join, None))
        window = self._ksql_window() if self._word("WINDOW") else None
        where = self._expression() if self._word("WHERE") else None
        group = self._ksql_list() if self._word("GROUP", "BY") else None
        partition = self._ksql_list() if self._word("PARTITION", "BY") else None
        having = self._expression() if self._word("HAVING") else None
        emit = None
        if self._word("EMIT"):
            emit = next((word for word in ("CHANGES", "FINAL") if self._word(word)), None)
            if emit is None:
                self.raise_error("Expecting CHANGES or FINAL after EMIT")
        limit = self._literal() if self._word("LIMIT") else None
        return self.expression(
            node.Query(
                expressions=projections,
                source=source,
                joins=joins,
                window=window,
                where=where,
                group=group,
                partition=partition,
                having=having,
                emit=emit,
                limit=limit,
            )
        )

    def _ksql_projection(self) -> exp.Expression:
        if self._match(TokenType.STAR):
            return self.expression(exp.Star())
        value = self._expression()
        if self._word("AS"):
            return self.expression(exp.Alias(this=value, alias=self._name()))
        if self._curr and self._curr.token_type in (TokenType.VAR, TokenType.IDENTIFIER):
            word = self._curr.text.upper()
            if self._curr.token_type == TokenType.IDENTIFIER or word not in ("WINDOW", "EMIT"):
                return self.expression(exp.Alias(this=value, alias=self._name()))
        return value

    def _ksql_list(self) -> list[exp.Expression]:
        """``a, b`` or ``(a, b)``, as after GROUP BY and PARTITION BY."""
        values = [self._expression()]
        while self._match(TokenType.COMMA):
            values.append(self._expression())
        if len(values) == 1 and isinstance(values[0], exp.Tuple):
            return list(values[0].expressions)
        return values

    _AFTER_SOURCE: ClassVar[set[str]] = {
        "WINDOW", "WHERE", "GROUP", "PARTITION", "HAVING", "EMIT", "LIMIT",
        "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "WITHIN", "ON",
    }  # fmt: skip

    def _ksql_source(self) -> exp.Expression:
        name = self._name()
        alias = None
        if self._word("AS") or (
            self._curr
            and self._curr.token_type in (TokenType.VAR, TokenType.IDENTIFIER)
            and self._curr.text.upper() not in self._AFTER_SOURCE
        ):
            alias = self._name()
        return self.expression(node.Source(this=name, alias=alias))

    def _ksql_join(self) -> exp.Expression | None:
        side = next((word for word in ("INNER", "LEFT", "RIGHT", "FULL") if self._word(word)), None)
        if side:
            self._word("OUTER")
            self._expect("JOIN")
        elif not self._word("JOIN"):
            return None
        source = self._ksql_source()
        within = None
        if self._word("WITHIN"):
            within = self._ksql_within()
        self._expect("ON")
        return self.expression(
            node.SourceJoin(this=source, side=side or "INNER", within=within, on=self._expression())
        )

    def _ksql_within(self) -> exp.Expression:
        """``5 MINUTES`` or ``(before, after)``, then an optional GRACE PERIOD; milliseconds."""
        if self._match(TokenType.L_PAREN):
            before = self._duration()
            self._match(TokenType.COMMA)
            after = self._duration()
            self._closing()
            durations = [before, after]
        else:
            durations = [self._duration()]
        if self._word("GRACE", "PERIOD"):
            durations.append(self._duration())
        return self.expression(exp.Tuple(expressions=durations))

    def _ksql_window(self) -> exp.Expression:
        kind = next((k for k in ("TUMBLING", "HOPPING", "SESSION") if self._word(k)), None)
        if kind is None:
            self.raise_error("Expecting TUMBLING, HOPPING or SESSION after WINDOW")
        self._match_l_paren()
        parts: dict[str, exp.Expression] = {}
        if kind == "SESSION":
            parts["size"] = self._duration()
            self._match(TokenType.COMMA)
        while not self._match(TokenType.R_PAREN):
            if self._word("SIZE"):
                parts["size"] = self._duration()
            elif self._word("ADVANCE", "BY"):
                parts["advance"] = self._duration()
            elif self._word("RETENTION"):
                parts["retention"] = self._duration()
            elif self._word("GRACE", "PERIOD"):
                parts["grace"] = self._duration()
            else:
                self.raise_error("Expecting SIZE, ADVANCE BY, RETENTION or GRACE PERIOD")
            if not self._match(TokenType.COMMA) and self._curr.token_type != TokenType.R_PAREN:
                self.raise_error("Expecting ',' or ')'")
        if "size" not in parts:
            self.raise_error("A window needs a SIZE")
        if kind == "HOPPING" and "advance" not in parts:
            self.raise_error("A hopping window needs ADVANCE BY")
        return self.expression(node.SourceWindow(kind=kind, **parts))

    def _duration(self) -> exp.Expression:
        if not self._match(TokenType.NUMBER):
            self.raise_error("Expecting a duration such as 30 SECONDS")
        amount = int(self._prev.text)
        unit = self._curr.text.upper().removesuffix("S") if self._curr else ""
        if unit not in _MILLISECONDS:
            self.raise_error("Expecting a unit of time (MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS)")
        self._advance()
        return exp.Literal.number(amount * _MILLISECONDS[unit])

    # -- everything else ---------------------------------------------------------------------

    def _ksql_query_control(self) -> exp.Expression:
        action = self._curr.text.upper()
        self._advance()
        return self.expression(node.QueryControl(this=self._name(), action=action))

    def _ksql_set(self) -> exp.Expression:
        is_set = self._word("SET")
        if not is_set:
            self._expect("UNSET")
        name = self._literal()
        value = None
        if is_set:
            if not self._match(TokenType.EQ):
                self.raise_error("Expecting '='")
            value = self._literal()
        return self.expression(node.SetProperty(this=name, value=value))

    def _ksql_define(self) -> exp.Expression:
        is_define = self._word("DEFINE")
        if not is_define:
            self._expect("UNDEFINE")
        name = self._name()
        value = None
        if is_define:
            if not self._match(TokenType.EQ):
                self.raise_error("Expecting '='")
            value = self._literal()
        return self.expression(node.Define(this=name, value=value))

    def _ksql_assert(self) -> exp.Expression:
        self._expect("ASSERT")
        exists = not self._word("NOT", "EXISTS")
        if self._word("SCHEMA"):
            while self._curr:
                self._advance()
            return self.expression(node.Assert(this=exp.var("SCHEMA"), kind="SCHEMA", exists=exists))
        if not self._word("TOPIC"):
            self._unexpected()
        name = self._parse_string() or self._name()
        properties = self._ksql_properties()
        timeout = self._duration() if self._word("TIMEOUT") else None
        return self.expression(
            node.Assert(this=name, kind="TOPIC", exists=exists, properties=properties, timeout=timeout)
        )

    def _unexpected(self) -> None:
        """Raise the error for a word that does not belong where it stands."""
        found = self._curr.text if self._curr else "<EOF>"
        place = f" at line {self._curr.line}:{self._curr.col - len(found) + 1}" if self._curr else ""
        self.raise_error(f"Syntax error at or near '{found}'{place}")

    def _ksql_show(self) -> exp.Expression:
        if not self._word("SHOW"):
            self._expect("LIST")
        words: list[str] = []
        extended = False
        while self._curr and self._curr.token_type != TokenType.SEMICOLON:
            if self._word("EXTENDED"):
                extended = True
                continue
            words.append(self._curr.text.upper())
            self._advance()
        return self.expression(node.Show(this=exp.var(" ".join(words)), extended=extended))

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
        if self._curr and self._curr.text.upper() in ("SELECT", "CREATE", "INSERT"):
            return self.expression(node.Explain(statement=self._parse_statement()))
        return self.expression(node.Explain(this=self._name()))
