"""A project's own functions, for tests: every type there and back, every NULL rule, every failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, NamedTuple, Optional

from opensea_metrics.udfs import Digits, Int32, udaf, udf, udtf


@dataclass(frozen=True)
class Trait:
    name: str
    rarity: Annotated[Decimal, Digits(10, 4)]
    seen: date


class Point(NamedTuple):
    name: str | None
    value: float


@dataclass(frozen=True)
class Asset:
    id: int
    score: float
    traits: list[Trait]
    counts: dict[str, int]
    hash: bytes


@udf
def echo_bool(value: bool) -> bool:
    return value


@udf
def echo_int(value: int) -> int:
    return value


@udf
def echo_int32(value: Int32) -> Int32:
    return value


@udf
def echo_float(value: float) -> float:
    return value


@udf
def echo_str(value: str) -> str:
    return value


@udf
def echo_bytes(value: bytes) -> bytes:
    return value


@udf
def echo_decimal(value: Annotated[Decimal, Digits(38, 18)]) -> Annotated[Decimal, Digits(38, 18)]:
    return value


@udf
def echo_date(value: date) -> date:
    return value


@udf
def echo_datetime(value: datetime) -> datetime:
    return value


@udf
def echo_list(value: list[float]) -> list[float]:
    return value


@udf
def echo_dict(value: dict[str, float]) -> dict[str, float]:
    return value


@udf
def echo_struct(value: Asset) -> Asset:
    assert isinstance(value, Asset)
    assert all(trait is None or isinstance(trait, Trait) for trait in value.traits or ())
    return value


class Spot(NamedTuple):
    """A NamedTuple is a STRUCT as a dataclass is."""

    name: str
    at: datetime
    value: float
    inner: list[Trait]


@udf
def echo_named_tuple(value: Spot) -> Spot:
    assert isinstance(value, Spot)
    return value


@udf
def spots(text: str, value: float) -> list[Point]:
    """Of JSON's types only, so they cross as they are.

    >>> spots("a", 1.0)
    [Point(name='a', value=1.0), Point(name=None, value=1.0)]
    """
    return [Point(text, value), Point(None, value)]


@udf
def or_default(value: Optional[str], default: str) -> str:  # noqa: UP045 (Optional must do, too)
    """The value, or the default for NULL.

    value: may be NULL
    default: what stands for NULL

    >>> or_default(None, "x")
    'x'
    """
    return default if value is None else value


@udf
def whole(text: str) -> int:
    """Text as a whole number; raises for anything else, and gives more than BIGINT holds.

    >>> whole("12")
    12
    """
    return int(text)


@udf
def wrong_type(text: str) -> int:
    return text  # type: ignore[return-value]


@udf
def half_up(text: str) -> Annotated[Decimal, Digits(5, 2)] | None:
    """Text as DECIMAL(5, 2).

    >>> half_up("1.005")
    Decimal('1.005')
    """
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


@udtf
def letters(text: str, times: Int32) -> list[str]:
    """Each letter, some times over.

    >>> letters("ab", 2)
    ['a', 'b', 'a', 'b']
    """
    if times > 50:
        raise ValueError("too often")
    return [*text[:20]] * times


@udaf()
class LongestText:
    """The longest texts with their number, joined; an aggregate in Python alone.

    text: NULL counts as ''
    weight: NULL leaves the row out
    separator: stands between
    keep: how many

    >>> aggregate(LongestText("-", 2), [("a", 1), ("bbb", 2), (None, 3), ("cc", 4)])
    'bbb2-cc4'
    """

    def __init__(self, separator: str, keep: int) -> None:
        self.separator, self.keep = separator, keep

    def initialize(self) -> list[tuple[int, str, int]]:
        return []

    def accumulate(
        self, state: list[tuple[int, str, int]], text: str | None, weight: int
    ) -> list[tuple[int, str, int]]:
        state.append((-len(text or ""), text or "", weight))  # changed before it raises
        if weight == 13:
            raise ValueError("13 is refused")
        return sorted(state)[: max(self.keep, 0)]

    def merge(
        self, older: list[tuple[int, str, int]], newer: list[tuple[int, str, int]]
    ) -> list[tuple[int, str, int]]:
        return sorted([*older, *newer])[: max(self.keep, 0)]

    def finish(self, state: list[tuple[int, str, int]]) -> str:
        return self.separator.join(f"{text}{weight}" for _, text, weight in state)


@udaf()
class Peak:
    """The greatest value; its state cannot hold infinity, so that leaves a row out.

    >>> aggregate(Peak(), [(1.0,), (2.0,)])
    2.0
    """

    def initialize(self) -> float | None:
        return None

    def accumulate(self, state: float | None, value: float) -> float | None:
        return value if state is None else max(state, value)

    def merge(self, older: float | None, newer: float | None) -> float | None:
        return newer if older is None else older if newer is None else max(older, newer)

    def finish(self, state: float | None) -> float | None:
        return state
