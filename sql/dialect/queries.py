"""SELECT: sources, joins, windows."""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from sql.dialect import expressions as node
from sql.dialect.types import Types


class Queries(Types):
    """Reads a SELECT."""

    _AFTER_SOURCE: ClassVar[set[str]] = {
        "WINDOW", "WHERE", "GROUP", "PARTITION", "HAVING", "EMIT", "LIMIT",
        "JOIN", "INNER", "LEFT", "RIGHT", "FULL", "WITHIN", "ON",
    }  # fmt: skip

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
        limit = None
        if self._word("LIMIT"):
            limit = exp.Literal.number(self._whole_number("a number of rows"))
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
        """``5 MINUTES`` or ``(before, after)``, then an optional GRACE PERIOD."""
        if self._match(TokenType.L_PAREN):
            before = self._duration()
            self._match(TokenType.COMMA)
            after = self._duration()
            self._closing()
        else:
            before = self._duration()
            after = before.copy()
        grace = self._duration() if self._word("GRACE", "PERIOD") else None
        return self.expression(node.Within(before=before, after=after, grace=grace))

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
