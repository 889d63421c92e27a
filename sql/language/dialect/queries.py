"""SELECT: sources, joins, windows."""

from __future__ import annotations

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.naming import RESERVED
from opensea_metrics.sql.language.dialect.types import Types


class Queries(Types):
    """Reads a SELECT."""

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
            sign = -1 if self._match(TokenType.DASH) else 1
            start = self._prev
            limit = exp.Literal.number(sign * self._whole_number("a number of rows")).update_positions(start)
        return self.expression(
            node.SelectQuery(
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
        alias = self._alias()
        return self.expression(exp.Alias(this=value, alias=alias)) if alias else value

    def _ksql_list(self) -> list[exp.Expression]:
        """``a, b`` or ``(a, b)``, as in GROUP BY and PARTITION BY."""
        if self._match_pair(TokenType.L_PAREN, TokenType.R_PAREN):
            return [exp.Tuple().update_positions(self._prev)]  # the statement parser refuses it
        values = [self._expression()]
        while self._match(TokenType.COMMA):
            values.append(self._expression())
        if len(values) == 1 and isinstance(values[0], exp.Tuple):
            return list(values[0].expressions)
        return values

    def _ksql_source(self) -> exp.Expression:
        name = self._name()
        alias = None if self._begins_clause() else self._alias()
        return self.expression(node.SourceReference(this=name, alias=alias))

    def _begins_clause(self) -> bool:
        """True if the next word begins a clause, although it could also be a name: ``FROM s emit EMIT CHANGES``."""
        words = tuple(token.text.upper() for token in self._tokens[self._index : self._index + 2])
        return words in (("EMIT", "CHANGES"), ("EMIT", "FINAL"), ("PARTITION", "BY"))

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
        """``5 MINUTES`` or ``(before, after)``, with an optional GRACE PERIOD."""
        if self._match(TokenType.L_PAREN):
            before = self._duration()
            if not self._match(TokenType.COMMA):
                self.raise_error("Expecting ','")
            after = self._duration()
            self._closing()
        else:
            before = self._duration()
            after = before.copy()
        grace = self._duration() if self._word("GRACE", "PERIOD") else None
        return self.expression(node.Within(before=before, after=after, grace=grace))

    def _ksql_window(self) -> exp.Expression:
        """The part after WINDOW: a name that has no effect, the kind, and durations in a fixed order."""
        kinds = ("TUMBLING", "HOPPING", "SESSION")
        if self._next and self._next.text.upper() in kinds and self._curr.text.upper() not in RESERVED:
            self._match(TokenType.VAR)
        kind = next((word for word in kinds if self._word(word)), None)
        if kind is None:
            self.raise_error("Expecting TUMBLING, HOPPING or SESSION after WINDOW")
        self._match_l_paren()
        if kind != "SESSION":
            self._expect("SIZE")
        parts = {"size": self._duration()}
        if kind == "HOPPING":
            if not self._match(TokenType.COMMA):
                self.raise_error("Expecting ','")
            self._expect("ADVANCE", "BY")
            parts["advance"] = self._duration()
        if self._match_text_seq(",", "RETENTION"):
            parts["retention"] = self._duration()
        if self._match_text_seq(",", "GRACE", "PERIOD"):
            parts["grace"] = self._duration()
        if not self._match(TokenType.R_PAREN):
            self.raise_error("Expecting ')': RETENTION comes before GRACE PERIOD, and nothing after them")
        return self.expression(node.SourceWindow(kind=kind, **parts))
