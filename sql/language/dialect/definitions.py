"""CREATE, INSERT, ALTER, DROP."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.quoting import ksqldb_text
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.repetitions import Repetitions


class Definitions(Repetitions):
    """Reads the statements that create, fill, change or drop sources."""

    def _ksql_connector(self, first: Token) -> exp.Expression:
        return self.expression(node.Connector(this=self._rest(first)))

    def _is_connector(self) -> bool:
        words = [token.text.upper() for token in self._tokens[self._index : self._index + 2]]
        return "CONNECTOR" in words

    def _ksql_create(self) -> exp.Expression:
        first = self._curr
        self._expect("CREATE")
        if self._is_connector():  # CREATE SOURCE|SINK CONNECTOR
            return self._ksql_connector(first)
        if self._word("TYPE"):
            if_not_exists = self._word("IF", "NOT", "EXISTS")
            name = self._name()
            self._expect("AS")
            return self.expression(node.CreateType(this=name, kind=self._parse_types(), if_not_exists=if_not_exists))
        replace = self._word("OR", "REPLACE")
        read_only = self._word("SOURCE")
        kind = self._stream_or_table()
        if_not_exists = self._word("IF", "NOT", "EXISTS")
        name = self._name()
        columns = self._ksql_columns() if self._match(TokenType.L_PAREN) else []
        properties = self._ksql_properties()
        query = None
        if not columns and not read_only and self._word("AS"):
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
        raise AssertionError  # not reached: raise_error raises

    def _ksql_columns(self) -> list[exp.Expression]:
        columns: list[exp.Expression] = []
        while True:
            name = self._name()
            kind = self._parse_types()
            role = None
            if self._word("PRIMARY", "KEY"):
                role = "PRIMARY KEY"
            elif self._word("KEY"):
                role = "KEY"
            elif self._word("HEADERS"):
                role = "HEADERS"
            elif self._word("HEADER"):
                self._match_l_paren()
                role = f"HEADER({ksqldb_text(str(self._text().this))})"
                self._closing()
            columns.append(
                self.expression(node.ColumnDefinition(this=name, kind=kind, role=role))
            )
            if not self._match(TokenType.COMMA):
                break
        self._closing()
        return columns

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
            values = [] if self._match(TokenType.R_PAREN, advance=False) else [self._value()]
            while values and self._match(TokenType.COMMA):
                values.append(self._value())
            self._closing()
            return self.expression(
                node.InsertValues(this=name, columns=columns, expressions=values)
            )
        properties = self._ksql_properties()
        return self.expression(
            node.InsertSelect(this=name, properties=properties, query=self._ksql_query())
        )

    def _value(self) -> exp.Expression:
        """A value of an INSERT. The migration tool sends thousands of plain texts, so these take a short way."""
        is_whole = self._next is not None and self._next.token_type in (TokenType.COMMA, TokenType.R_PAREN)
        is_text = self._curr is not None and self._curr.token_type == TokenType.STRING
        return self._text() if is_text and is_whole else self._expression()

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
        kind = self._parse_types()
        return self.expression(node.ColumnDefinition(this=name, kind=kind, role=None))

    def _ksql_drop(self) -> exp.Expression:
        first = self._curr
        self._expect("DROP")
        if self._is_connector():
            return self._ksql_connector(first)
        if self._word("TYPE"):
            if_exists = self._word("IF", "EXISTS")
            return self.expression(node.DropType(this=self._name(), if_exists=if_exists))
        kind = self._stream_or_table()
        if_exists = self._word("IF", "EXISTS")
        name = self._name()
        delete_topic = self._word("DELETE", "TOPIC")
        return self.expression(
            node.DropSource(this=name, kind=kind, if_exists=if_exists, delete_topic=delete_topic)
        )
