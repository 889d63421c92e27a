"""Literals that ksqlDB casts by itself, as texts that an engine's CAST takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlglot import exp

from opensea_metrics.core.types import BOOLEAN, DATE, STRING, TIME, TIMESTAMP, KsqlType, is_numeric
from opensea_metrics.sql.language.values import timestamps

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cast_text(literal: exp.Expr, kind: KsqlType) -> str | None:
    """The text that means a literal as a value of another type; None if it has no exact one here.

    A text becomes a number, a BOOLEAN, a date or a time. An integer or a BOOLEAN becomes a text.
    """
    match literal:
        case exp.Literal(is_string=True):
            return _of_text(str(literal.this).strip(), kind)
        case exp.Literal() if kind == STRING and str(literal.this).isdigit():
            return str(int(literal.this))
        case exp.Boolean() if kind == STRING:
            return str(literal.this).lower()
    return None


def _of_text(text: str, kind: KsqlType) -> str | None:
    if is_numeric(kind):
        return text
    if kind == BOOLEAN:
        return "true" if text.lower()[0] in "ty" else "false"
    if kind == DATE and (days := timestamps.days(text)) is not None:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    if kind == TIME and (at := timestamps.time_of_day(text)) is not None:
        return (_EPOCH + timedelta(milliseconds=at)).time().isoformat("milliseconds")
    if kind == TIMESTAMP and (since := timestamps.milliseconds(text)) is not None:
        try:
            instant = _EPOCH + timedelta(milliseconds=since)
        except OverflowError:
            return None
        return instant.replace(tzinfo=None).isoformat(" ", "milliseconds")
    return None
