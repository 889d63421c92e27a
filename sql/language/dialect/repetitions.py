"""Calls that a statement writes several times, as macros do. They are read once, and then copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from opensea_metrics.sql.language.dialect.queries import Queries
from opensea_metrics.sql.language.dialect.rewriting import rewritten

_LENGTHS = range(60, 5_000)
"""The lengths of the calls that are remembered, in characters. It takes longer to copy a short call than to read it."""
_MOST = 200
"""How many calls of a statement are remembered. With the greatest length, it limits the memory."""


class Repetitions(Queries):
    """Reads calls. A call with the same text as an earlier one of the statement has the same AST, at other offsets."""

    def reset(self) -> None:
        super().reset()
        self._read_calls: dict[str, tuple[int, exp.Expression]] = {}
        self.__dict__.pop("_closings", None)

    @cached_property
    def _closings(self) -> dict[int, int]:
        """The index of each opening bracket's token, and of the token that closes it."""
        closings: dict[int, int] = {}
        opened: list[int] = []
        for index, token in enumerate(self._tokens):
            if token.token_type == TokenType.L_PAREN:
                opened.append(index)
            elif token.token_type == TokenType.R_PAREN and opened:
                closings[opened.pop()] = index
        return closings

    def _parse_function_call(
        self,
        functions: dict[str, Callable[..., Any]] | None = None,
        anonymous: bool = False,
        optional_parens: bool = True,
        any_token: bool = False,
    ) -> exp.Expr | None:
        first, begin = self._curr, self._index
        end = self._closings.get(begin + 1) if first.token_type == TokenType.VAR else None
        if end is None or anonymous or any_token or self._tokens[end].end - first.start not in _LENGTHS:
            return super()._parse_function_call(functions, anonymous, optional_parens, any_token)
        text = self.sql[first.start : self._tokens[end].end + 1]
        if text in self._read_calls:
            offset, call = self._read_calls[text]
            self._advance(end + 1 - begin)
            copy = rewritten(call, lambda part: _moved(part, first.start - offset))
            copy.meta.pop("is_signed", None)  # the sign before the earlier call
            return self._parse_window(copy)
        read = super()._parse_function_call(functions, optional_parens=optional_parens)
        # After a last comma, sqlglot looks at the token behind the bracket.
        is_whole = self._index == end + 1 and self._tokens[end - 1].token_type != TokenType.COMMA
        if is_whole and isinstance(read, exp.Anonymous) and len(self._read_calls) < _MOST:
            self._read_calls[text] = first.start, read
        return read


def _moved(part: exp.Expression, by: int) -> exp.Expression:
    if "start" in part.meta:
        part.meta["start"] += by
        part.meta["end"] += by
    return part
