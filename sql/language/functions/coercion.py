"""The common type of several values in ARRAY[…], MAP(…) and IN (…).

The first value decides, and later values are cast to its type if ksqlDB casts them implicitly. A text in quotes
becomes a number or a BOOLEAN, and a number in a list of texts becomes a text. Source: observed on 7.9.1
(tests/sql/types.yml).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from sqlglot import exp

from opensea_metrics.core.conversions import common, is_numeric
from opensea_metrics.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    INTEGER,
    NULL,
    STRING,
    TIME,
    TIMESTAMP,
    ArrayType,
    DecimalType,
    KsqlType,
    MapType,
    StructType,
    array,
    name_of,
    struct,
)
from opensea_metrics.sql.language.queries.scope import Infer, Scope, shown
from opensea_metrics.sql.language.values import timestamps

TIMES = (DATE, TIME, TIMESTAMP)
_FROM_TEXT = (*TIMES, BYTES)
_NUMBER = re.compile(r"[+-]?([0-9]{1,100}(\.[0-9]{0,100})?|\.[0-9]{1,100})([eE][+-]?[0-9]{1,3})?")
_BOOLEANS = ("true", "false", "yes", "no")


def members(
    whole: exp.Expression,
    parts: Sequence[exp.Expression],
    kind: str,
    part: str,
    scope: Scope,
    infer: Infer,
) -> KsqlType:
    """The type of the elements of an ARRAY[…], or of the keys or values of a MAP(…).

    Raises SqlError if there are no values, or if all values are the literal NULL.
    """
    article = "an" if kind == "array" else "a"
    if not parts:
        pair = "element" if kind == "array" else "key value pair"
        message = f"{kind.capitalize()} constructor cannot be empty. Please supply at least one {pair}."
        raise scope.error(whole, message, f"for {article} {kind} without {part}s, cast: CAST(NULL AS …)")
    shared = widest(parts, scope, infer)
    if shared == NULL:
        message = f"Cannot construct {article} {kind} with all NULL {part}s."
        raise scope.error(whole, message, f"give one {part} a type, as in CAST(NULL AS INT)")
    return shared


def comparable(expressions: Sequence[exp.Expression], scope: Scope, infer: Infer) -> list[exp.Expression]:
    """The operands of IN, without those that can equal no other operand.

    Among DATEs, this is a date in quotes: ksqlDB reads '2022-01-01' as the number 2022 - 1 - 1. It fails for 08 and
    09, which are not numbers in Java (observed on 7.9.1, 2026-11-30).
    """
    if DATE not in [infer(expression, scope) for expression in expressions]:
        return list(expressions)
    return [expression for expression in expressions if not _is_number_of_date(expression)]


def _is_number_of_date(expression: exp.Expression) -> bool:
    literal = expression.unnest()
    if not (isinstance(literal, exp.Literal) and literal.is_string):
        return False
    parts = str(literal.this).split("-")
    return timestamps.days(str(literal.this)) is not None and not {"08", "09"} & set(parts)


def widest(expressions: Sequence[exp.Expression], scope: Scope, infer: Infer) -> KsqlType:
    """The type that all values have or are cast to. Raises SqlError if there is no such type."""
    kind = _folded(NULL, expressions, scope, infer)
    for expression in expressions if kind in TIMES else ():
        if isinstance(expression.unnest(), exp.Literal):  # observed: an internal error, or the DATE 2022 - 1 - 1
            message = f"{shown(expression)} in a list of {kind} fails in ksqlDB"
            raise scope.error(expression, message, f"write CAST({shown(expression)} AS {kind})")
    return kind


def _folded(kind: KsqlType, expressions: Sequence[exp.Expression], scope: Scope, infer: Infer) -> KsqlType:
    for expression in expressions:
        kind = _joined(kind, infer(expression, scope), expression, scope, infer)
    return kind


def _joined(
    known: KsqlType, given: KsqlType, expression: exp.Expression, scope: Scope, infer: Infer
) -> KsqlType:
    """The type of a list of type ``known`` after one more value. The parts of a constructor are added one by one."""
    if (shared := common(known, given)) is not None:
        return shared
    inner = expression.unnest()

    def parts(written: Sequence[exp.Expression], other: KsqlType, kind: KsqlType) -> KsqlType:
        if written:
            return _folded(other, written, scope, infer)
        return _joined(other, kind, expression, scope, infer)

    match known, given:
        case ArrayType(), ArrayType():
            elements = inner.expressions if isinstance(inner, exp.Array) else []
            return array(parts(elements, known.element, given.element))
        case MapType(), MapType():
            pairs = inner.expressions if isinstance(inner, exp.Anonymous) and inner.name.upper() == "MAP" else []
            keys = parts([pair.this for pair in pairs], known.key, given.key)
            return MapType("MAP", keys, parts([pair.expression for pair in pairs], known.value, given.value))
        case StructType(), StructType():
            return _structs(known, given, expression, scope, infer)
    is_literal = isinstance(inner, exp.Literal | exp.Boolean | exp.Neg)
    if given == STRING:
        if known in _FROM_TEXT:
            return known
        if is_literal and (is_numeric(known) or known == BOOLEAN):
            return _of_text(known, str(inner.this), expression, scope)
    if known == STRING and (given in _FROM_TEXT or (is_literal and given.name not in ("ARRAY", "MAP", "STRUCT"))):
        return given if given in _FROM_TEXT else STRING
    message = f"operator does not exist: {known} = {given} ({shown(expression)})"
    raise scope.error(expression, message, "use CAST: all values must have one type")


def _structs(
    known: StructType, given: StructType, expression: exp.Expression, scope: Scope, infer: Infer
) -> KsqlType:
    """A STRUCT with the fields of both types. The fields of the later value come first."""
    inner = expression.unnest()
    written = {}
    if isinstance(inner, exp.Anonymous) and inner.name.upper() == "STRUCT":
        written = {name_of(item.this): item.expression for item in inner.expressions}
    fields = []
    for name, kind in given.fields:
        if (other := known.field(name)) is not None:
            kind = _joined(other, kind, written.get(name, expression), scope, infer)
        fields.append((name, kind))
    fields += [(name, kind) for name, kind in known.fields if given.field(name) is None]
    return struct(*fields)


def _of_text(known: KsqlType, written: str, literal: exp.Expression, scope: Scope) -> KsqlType:
    """The type of a list of numbers or of BOOLEANs with a text in quotes."""
    text = written.strip()
    if known == BOOLEAN:
        is_boolean = bool(text) and any(word.startswith(text.lower()) for word in _BOOLEANS)
        kind: KsqlType | None = BOOLEAN if is_boolean else None
    else:
        kind = common(known, number_type(text)) if _NUMBER.fullmatch(text) else None
    if kind is None:
        message = f'invalid input syntax for type {known.name}: "{written}".'
        raise scope.error(literal, message, f"write a {known.name} without quotes")
    return kind


def number_type(text: str) -> KsqlType:
    """The smallest type that holds a number's text: INTEGER, BIGINT or a DECIMAL."""
    number = Decimal(text)
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    if exponent == 0 and "e" not in text.lower() and "." not in text:
        for kind, bits in ((INTEGER, 31), (BIGINT, 63)):
            if -(2**bits) <= number < 2**bits:
                return kind
    scale = max(0, -exponent)
    precision = max(len(digits) + max(0, exponent), scale)
    return DecimalType("DECIMAL", precision, scale)

