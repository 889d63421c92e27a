"""ksqlDB's JSON deserializer, written to be read: one record, one value at a time (KsqlJsonDeserializer 7.9.1).

Of the values it knows those that :mod:`tests.sql.test_record_names` makes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from opensea_metrics.core.types import ArrayType, DecimalType, KsqlType, MapType, StructType

EPOCH = datetime(1970, 1, 1)


class UndecodableRecord(Exception):
    """The record is dropped."""


def refused(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=refused)


def decoded(line: str, kind: StructType) -> dict[str, Any] | None:
    """The columns of a record; None for one that ksqlDB drops."""
    try:
        record, _ = _DECODER.raw_decode(line)  # Jackson does not look beyond the object
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    try:
        return value(record, kind)  # type: ignore[no-any-return]
    except UndecodableRecord:
        return None


def value(given: Any, kind: KsqlType) -> Any:
    """A value of a record. Raises UndecodableRecord."""
    if given is None:
        return None
    match kind:
        case StructType():
            check(isinstance(given, dict))
            return {name: value(look_up(given, name), inner) for name, inner in kind.fields}
        case ArrayType():
            check(isinstance(given, list))
            return [value(element, kind.element) for element in given]
        case MapType():
            check(isinstance(given, dict))
            return {key: value(element, kind.value) for key, element in given.items()}
        case DecimalType():
            check(type(given) in (int, str))
            number: Decimal = parsed(Decimal, given)
            check(number == round(number, kind.scale) and abs(number) < 10 ** (kind.precision - kind.scale))
            return round(number, kind.scale)
    return scalar(given, kind.name)


def look_up(record: dict[str, Any], name: str) -> Any:
    """The field of exactly this name, else the last one that has it in upper case."""
    if name in record:
        return record[name]
    return {key.upper(): field for key, field in record.items()}.get(name)


def scalar(given: Any, kind: str) -> Any:
    """A value of a type without types in it. Raises UndecodableRecord."""
    match kind:
        case "STRING":
            return text(given)
        case "BOOLEAN":
            check(isinstance(given, bool))
            return given
        case "DOUBLE":
            check(type(given) in (int, Decimal, str))
            return parsed(float, given)
        case "BYTES":
            check(isinstance(given, str))
            return parsed(base64.b64decode, given)
    check(type(given) in (int, str))
    number = parsed(int, given)
    match kind:
        case "INTEGER":
            return number
        case "BIGINT":
            return number
        case "DATE":
            return date(1970, 1, 1) + timedelta(days=number)
        case "TIMESTAMP":
            return EPOCH + timedelta(milliseconds=number)
    assert kind == "TIME"
    check(0 <= number < 86_400_000)
    made: time = (EPOCH + timedelta(milliseconds=number)).time()
    return made


def text(given: Any) -> str:
    """A value as text: a list without quotes, an object as JSON."""
    match given:
        case None | bool():
            return json.dumps(given)
        case dict():
            return f"{{{','.join(f'{json.dumps(name)}:{in_object(field)}' for name, field in given.items())}}}"
        case list():
            return f"[{', '.join(map(text, given))}]"
    return str(given)  # a Decimal's text is that of Java's BigDecimal


def in_object(given: Any) -> str:
    """A value of an object that is text: JSON without blanks."""
    match given:
        case str():
            return json.dumps(given, ensure_ascii=False)
        case list():
            return f"[{','.join(map(in_object, given))}]"
    return text(given)


def parsed(number: Callable[[Any], Any], given: Any) -> Any:
    """A number, maybe of a text. Raises UndecodableRecord."""
    try:
        return number(given)
    except (ValueError, ArithmeticError):
        raise UndecodableRecord from None


def check(is_right: bool) -> None:
    if not is_right:
        raise UndecodableRecord
