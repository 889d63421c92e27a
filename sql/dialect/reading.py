"""What the readers of statements share."""

from __future__ import annotations

from sqlglot import exp, parser
from sqlglot.tokenizer_core import Token, TokenType

from sql.dialect import expressions as node
from sql.errors import OpenSeaMetricsError

if not str(parser.__file__).endswith(".py"):
    raise OpenSeaMetricsError(
        "sqlglot is installed in its compiled form, whose parser cannot be extended: "
        "run `pip uninstall sqlglotc`."
    )

_MILLISECONDS = {
    "MILLISECOND": 1,
    "SECOND": 1_000,
    "MINUTE": 60_000,
    "HOUR": 3_600_000,
    "DAY": 86_400_000,
}


class Reading(parser.Parser):
    """Reads words, names, literals and properties; sqlglot's parser reads expressions."""

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

    def _closing(self) -> None:
        if not self._match(TokenType.R_PAREN):
            self.raise_error("Expecting ',' or ')'")

    def _rest(self, first: Token) -> str:
        """The text of a statement that only a server reads, from its first token to its end."""
        while self._curr:
            self._advance()
        return str(self._find_sql(first, self._prev))

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

    def _whole_number(self, what: str) -> int:
        """A number without a sign, a fraction, or more digits than ksqlDB's BIGINT has."""
        token = self._curr
        if not self._match(TokenType.NUMBER) or not token.text.isdigit() or len(token.text) > 18:
            self.raise_error(f"Expecting {what}, which is a whole number", token)
        return int(token.text)

    def _duration(self) -> exp.Expression:
        amount = self._whole_number("a duration such as 30 SECONDS")
        unit = self._curr.text.upper().removesuffix("S") if self._curr else ""
        if unit not in _MILLISECONDS:
            self.raise_error("Expecting a unit of time (MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS)")
        self._advance()
        return exp.Literal.number(amount * _MILLISECONDS[unit])

    def _unexpected(self) -> None:
        """Raise the error for a word that does not belong where it stands."""
        found = self._curr.text if self._curr else "<EOF>"
        place = f" at line {self._curr.line}:{self._curr.col - len(found) + 1}" if self._curr else ""
        self.raise_error(f"Syntax error at or near '{found}'{place}")
