"""Methods that all readers of statements share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlglot import exp, parser
from sqlglot.tokenizer_core import Token, TokenType

from opensea_metrics.core.errors import OpenSeaMetricsError
from opensea_metrics.sql.language.dialect import expressions as node
from opensea_metrics.sql.language.dialect.lexical import WORDS
from opensea_metrics.sql.language.dialect.naming import RESERVED

if not str(parser.__file__).endswith(".py"):
    raise OpenSeaMetricsError(
        "sqlglot is installed in its compiled form, whose parser cannot be extended: "
        "run `pip uninstall sqlglotc`."
    )

_LITERALS = (TokenType.STRING, TokenType.NUMBER, TokenType.TRUE, TokenType.FALSE, TokenType.NULL)
_MILLISECONDS = {
    "MILLISECOND": 1,
    "SECOND": 1_000,
    "MINUTE": 60_000,
    "HOUR": 3_600_000,
    "DAY": 86_400_000,
}


_T = TypeVar("_T")


class Reading(parser.Parser):
    """Reads words, names, literals and properties; sqlglot's parser reads expressions."""

    def _advance_any(self, ignore_reserved: bool = False) -> Token | None:
        """Read a word. sqlglot would accept any token as a name, such as a number or an operator."""
        if self._curr and self._curr.token_type not in WORDS:
            return None
        return super()._advance_any(ignore_reserved)

    def _parse_csv(
        self, parse_method: Callable[[], _T | None], sep: TokenType = TokenType.COMMA
    ) -> list[_T]:
        """Parts between commas. sqlglot would also accept ``a, , b`` and ``a,``."""

        def required() -> _T:
            part = parse_method()
            if part is None:
                self._unexpected()
                raise AssertionError  # not reached: _unexpected raises
            return part

        first = parse_method()
        if first is None and self._curr and self._curr.token_type != sep:
            return []
        parts = [required() if first is None else first]
        while self._match(sep):
            parts.append(required())
        return parts

    def _word(self, *words: str) -> bool:
        return bool(self._match_text_seq(*words))

    def _expect(self, *words: str) -> None:
        if not self._word(*words):
            self.raise_error(f"Expecting {' '.join(words)}, found {self._here()}")

    def _name(self) -> exp.Identifier:
        if self._curr.token_type == TokenType.VAR:  # sqlglot's reader looks for other kinds of names first
            self._advance()
            return self._identifier_expression(quoted=False)
        name = self._parse_id_var()
        if not isinstance(name, exp.Identifier):
            self.raise_error(f"Expecting a name, found {self._here()}")
            raise AssertionError  # not reached: raise_error raises
        return name

    def _alias(self) -> exp.Identifier | None:
        """A name where AS is optional. So only a word that is not reserved can be the name."""
        if self._word("AS") or (
            self._curr
            and self._curr.token_type in (*WORDS, TokenType.IDENTIFIER)
            and (self._curr.token_type == TokenType.IDENTIFIER or self._curr.text.upper() not in RESERVED)
        ):
            return self._name()
        return None

    def _text(self) -> exp.Literal:
        """A text in quotes."""
        if not self._match(TokenType.STRING):
            self.raise_error("Expecting STRING")
        return exp.Literal.string(self._prev.text).update_positions(self._prev)

    def _literal(self) -> exp.Expression:
        """A text, a number with or without ``-``, TRUE, FALSE or NULL."""
        is_negative = self._match(TokenType.DASH)
        kinds = (TokenType.NUMBER,) if is_negative else _LITERALS
        if not self._curr or self._curr.token_type not in kinds:
            self.raise_error(f"Expecting a literal, found {self._here()}")
        value = self._parse_primary() if self._curr.token_type != TokenType.STRING else self._text()
        assert isinstance(value, exp.Expression)
        return self.expression(exp.Neg(this=value)) if is_negative else value

    def _here(self) -> str:
        """The current token, as error messages write it."""
        return f"'{self._curr.text}'" if self._curr else "the end of the statement"

    def _expression(self) -> exp.Expression:
        value = self._parse_disjunction()
        if value is None:
            self.raise_error(f"Expecting an expression, found {self._here()}")
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
            is_text = self._curr and self._curr.token_type == TokenType.STRING
            name = self._text() if is_text else self._name()
            if not self._match(TokenType.EQ):
                self.raise_error(f"Expecting '=' after {name.name}")
            properties.append(self.expression(node.Property(this=name, value=self._literal())))
            if not self._match(TokenType.COMMA):
                break
        self._closing()
        return properties

    def _whole_number(self, meaning: str) -> int:
        """A number without a sign or a fraction, and within ksqlDB's BIGINT."""
        token = self._curr
        if not self._match(TokenType.NUMBER) or not token.text.isdigit() or len(token.text) > 18:
            self.raise_error(f"Expecting {meaning}, which is a whole number", token)
        return int(token.text)

    def _duration(self) -> exp.Expression:
        amount = self._whole_number("a duration such as 30 SECONDS")
        unit = self._curr.text.upper().removesuffix("S") if self._curr else ""
        if unit not in _MILLISECONDS:
            self.raise_error("Expecting a unit of time (MILLISECONDS, SECONDS, MINUTES, HOURS, DAYS)")
        self._advance()
        return exp.Literal.number(amount * _MILLISECONDS[unit])

    def _unexpected(self) -> None:
        """Raise the error for a word in the wrong place."""
        word = self._curr.text if self._curr else "<EOF>"
        place = f" at line {self._curr.line}:{self._curr.col}" if self._curr else ""
        self.raise_error(f"Syntax error at or near '{word}'{place}")
