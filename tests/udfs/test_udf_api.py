"""The decorators: hints, errors that name what is wrong, plain calls, docstrings, checksums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import pytest

from opensea_metrics.core.definition import Definition, UdfError
from opensea_metrics.deploy.embedded.statements.replies import schema
from opensea_metrics.sql.language.functions import library as functions
from opensea_metrics.udfs import Digits, Int32, api, registry, udaf, udf, udtf
from opensea_metrics.udfs.types import declaration, sql_type


@dataclass(frozen=True)
class Point:
    x: int
    label: str | None


class Pair(NamedTuple):
    left: str | None
    right: list[int]


@dataclass
class Loose:
    x: int


@dataclass(frozen=True)
class Deep:
    inner: complex


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (bool, "BOOLEAN"),
        (int, "BIGINT"),
        (Int32, "INT"),
        (float, "DOUBLE"),
        (str, "VARCHAR"),
        (bytes, "BYTES"),
        (Annotated[Decimal, Digits(20, 4)], "DECIMAL(20, 4)"),
        (date, "DATE"),
        (time, "TIME"),
        (datetime, "TIMESTAMP"),
        (Optional[int], "BIGINT"),  # noqa: UP045
        (list[str | None], "ARRAY<VARCHAR>"),
        (dict[str, list[float]], "MAP<VARCHAR, ARRAY<DOUBLE>>"),
        (Point, "STRUCT<`X` BIGINT, `LABEL` VARCHAR>"),
        (Pair, "STRUCT<`LEFT` VARCHAR, `RIGHT` ARRAY<BIGINT>>"),
    ],
)
def test_types(hint: Any, expected: str) -> None:
    assert declaration(sql_type(hint)) == expected
    assert schema(sql_type(hint))["type"]


def definition(decorated: Any) -> Definition:
    found: Definition = getattr(decorated, api.ATTRIBUTE)
    return found


def refused(make: Any) -> str:
    with pytest.raises(UdfError) as error:
        make()
    return str(error.value)


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (complex, "parameter price: complex has no SQL type"),
        (Decimal, "parameter price: a Decimal needs its digits: Annotated[Decimal, Digits(38, 18)]"),
        (int | str, "parameter price: int | str has no SQL type"),
        (dict[int, str], "parameter price: the keys of a dict must be str"),
        (list[set[int]], "parameter price: set[int] has no SQL type"),
        (Loose, "parameter price: the dataclass Loose must be frozen"),
        (Deep, "parameter price: field inner of Deep: complex has no SQL type"),
        (None, "parameter price has no type hint"),
    ],
)
def test_a_hint_without_a_type_is_an_error_that_names_the_parameter(hint: Any, message: str) -> None:
    def function(name: str, price: Any) -> str:
        return name

    function.__annotations__ = {"name": str, "return": str} | ({"price": hint} if hint else {})
    text = refused(lambda: udf(function))
    assert message in text
    assert "function function" in text
    assert Path(__file__).name in text


def test_other_errors_at_import() -> None:
    def nothing(a: int): ...  # type: ignore[no-untyped-def]

    def many(*a: int) -> int:
        return 1

    def single(a: int) -> int:
        return a

    assert "the result has no type hint" in refused(lambda: udf(nothing))
    assert "parameter a: SQL's arguments are positional" in refused(lambda: udf(many))
    assert "a table function returns list[T], not BIGINT" in refused(lambda: udtf(single))

    class Half:
        def initialize(self) -> int:
            return 0

    class Fraction:
        def __init__(self, share: float) -> None: ...
        def initialize(self) -> int:
            return 0

        def accumulate(self, state: int, value: int) -> int:
            return state

        def merge(self, older: int, newer: int) -> int:
            return older

        def finish(self, state: int) -> int:
            return state

    assert "aggregate Half has no method accumulate" in refused(lambda: udaf()(Half))
    assert "parameter share of the constructor: a literal argument is an int, str or bool" in refused(
        lambda: udaf()(Fraction)
    )
    with pytest.raises(TypeError, match="precision of 1 to 38"):
        Digits(39, 2)


def test_a_state_that_json_does_not_have_is_an_error() -> None:
    class Odd:
        def initialize(self) -> complex:
            return 0j

        def accumulate(self, state: complex, value: int) -> complex:
            return state

        def merge(self, older: complex, newer: complex) -> complex:
            return older

        def finish(self, state: complex) -> int:
            return 0

    assert "state: complex cannot be kept as JSON" in refused(lambda: udaf()(Odd))


def test_what_is_decorated_stays_what_it_was() -> None:
    @udf(name="doubled")
    def twice(x: int | None, y: Int32) -> int | None:
        """Twice.

        x: a number
          of some kind

        >>> twice(2, 1)
        4
        """
        return None if x is None else 2 * x

    assert twice(4, Int32(1)) == 8
    assert twice(None, Int32(1)) is None
    found = definition(twice)
    assert found.signature == "DOUBLED(x BIGINT, y INTEGER) → BIGINT"
    assert [p.nullable for p in found.parameters] == [True, False]
    assert found.description == "Twice."
    assert found.parameters[0].description == "a number"
    assert found.examples == ">>> twice(2, 1)\n4"


OWN = '''
"""A file."""
from opensea_metrics.udfs import udf

RATE = 2
OTHER = 1

def helper(x: int) -> int:
    """Helps."""
    return RATE * x

@udf
def own_rate(x: int) -> int:
    """A rate."""
    return helper(x)  # a comment
'''


def checksum_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    file = folder / f"{name}.py"
    file.write_text(text, "utf-8")
    monkeypatch.setenv(registry.VARIABLE, str(file))
    return registry.checksum("own_rate")


def test_a_checksum_covers_code_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checksum(text: str, name: str) -> str:
        return checksum_of(text, tmp_path, monkeypatch, name)

    first = checksum(OWN, "own_rate_1")
    assert first == checksum(OWN.replace("a comment", "another"), "own_rate_2")
    assert first == checksum(OWN.replace("A rate.", "Some rate."), "own_rate_3")
    assert first == checksum(OWN.replace("OTHER = 1", "OTHER = 2"), "own_rate_4")
    assert first != checksum(OWN.replace("RATE = 2", "RATE = 3"), "own_rate_5")
    assert first != checksum(OWN.replace("RATE * x", "RATE + x"), "own_rate_6")
    assert first != checksum(OWN.replace("helper(x)  #", "helper(x) + 1  #"), "own_rate_7")


def test_files_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(text: str, name: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        monkeypatch.setenv(registry.VARIABLE, str(tmp_path / f"{name}.py"))
        return refused(lambda: functions.known())

    header = "from opensea_metrics.udfs import udf\n@udf\n"
    assert "ksqlDB has its own function JSON_ITEMS" in read(
        f"{header}def json_items(x: str) -> str:\n    return x\n", "taken_by_ksqldb"
    )
    assert "TOKEN_AMOUNT is already defined at" in read(
        f"{header}def token_amount(x: str) -> str:\n    return x\n", "taken_by_us"
    )
    text = read("x = 1 / 0\n", "broken_file")
    assert "broken_file.py: ZeroDivisionError: division by zero" in text
    assert "there is another module called json" in read("x = 1\n", "json")
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "nowhere"))
    assert "nowhere, which does not exist" in refused(registry.functions)
