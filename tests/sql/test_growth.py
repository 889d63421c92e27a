"""Reading takes time in proportion to the text, whatever the text is."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest

from opensea_metrics.core.errors import Place, SqlError
from opensea_metrics.core.places import Lines, Located
from opensea_metrics.core.wording import listed, nearest
from opensea_metrics.sql.language.project.variables import Variables, filled, pieces, resolved
from opensea_metrics.sql.language.statements.parser import parse_script
from tests.sql.counting import calls_of

# Repeated, each of these has cost some reader the square of its length, or looks as if it could.
HOSTILE = (
    "/*a", "/*", "*/", "/**/", "'", "''", "'a' ", "`", '"', "--", "--\n", "-- '\r", "${", "${a}", "$${a}", "'${a}' ",
    "$", "{", "(", ")", "((", "[", "<", "ARRAY<", ";", "a;", "\n", "\r\n", " ", "a", "a ", "1", "1a ", "1.", "0x", "a.",
    "a.f()", "a->", "a,", "a AND ", "f(", "CASE WHEN ", "NOT ", "- ", "x => ", "DEFINE a='${a}';", "UNDEFINE a;",
    "SELECT a FROM b;", "é", "\ue000", "\u2028",
)  # fmt: skip


def read(text: str) -> None:
    with suppress(SqlError):
        parse_script(text, "text")


def read_variables(text: str) -> None:
    given = {"a": "b"}
    lines = Lines(text, "text")
    with suppress(SqlError):
        for piece in pieces(text):
            filled(piece.text, Variables(given), lines.place)
        resolved(Located(text, lines.place), given)


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
@pytest.mark.parametrize("frame", ["{}", "SELECT {} FROM t;"])
def test_the_steps_of_reading_grow_with_the_text(unit: str, frame: str) -> None:
    def steps(size: int) -> int:
        return calls_of(lambda: read(frame.replace("{}", unit * (size // len(unit)))))

    assert steps(8_000) < 4.5 * steps(2_000)


@pytest.mark.parametrize("unit", HOSTILE, ids=repr)
def test_variables_take_no_square_of_the_time(unit: str) -> None:
    """Regular expressions have no steps that could be counted: CPU time, if need be the least of three runs."""

    def seconds(size: int) -> float:
        begun = time.process_time()
        read_variables(unit * (size // len(unit)))
        return max(time.process_time() - begun, 0.002)

    # 16 in proportion, 256 of a square.
    most = 80 * min(seconds(4_000) for _ in range(3))
    assert any(seconds(64_000) < most for _ in range(3))


def test_the_lines_of_a_text_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []
    finditer = re.finditer

    def counted(pattern: str, text: str) -> object:
        searches.append(text)
        return finditer(pattern, text)

    monkeypatch.setattr(re, "finditer", counted)
    statements = parse_script("SELECT a\nFROM b;\n" * 500, "text")
    assert [statement.place.line for statement in statements] == list(range(1, 1_000, 2))
    assert len(searches) == 1


def test_variables_are_listed_as_they_were_written_first() -> None:
    variables = Variables({"Name": "x"})
    variables.define("NAME", "y")
    assert dict(variables) == {"Name": "y"}
    assert variables["name"] == "y"
    assert variables.undefine("nAmE")
    assert not variables.undefine("name")


def doubled(times: int) -> str:
    """A variable of 1,000 characters whose length doubles so often."""
    return f"DEFINE a='{'x' * 1_000}';\n" + "DEFINE a='${a}${a}';\n" * times + "SHOW STREAMS;"


def test_values_that_double_stop_at_a_limit() -> None:
    text = doubled(40)
    with pytest.raises(SqlError) as refused:
        resolved(Located(text, Lines(text, "f.sql").place), {})
    # 2,000 characters, then 4,000 …: in line 11 the sum exceeds 1,048,576.
    assert refused.value.place == Place("f.sql", 11, 11)
    assert refused.value.message == "variables add more than 1,048,576 characters"


def test_what_variables_add_is_limited_in_the_sum() -> None:
    """Many names, and many uses of one name, are no way around the limit."""

    def fill(text: str) -> None:
        variables = Variables({"a": "x" * 100_000})
        for piece in pieces(text):
            filled(piece.text, variables, Lines(text, "f.sql").place)

    for text in ("".join(f"DEFINE a{n}='${{a}}';" for n in range(11)), "DROP STREAM ${a};" * 11):
        with pytest.raises(SqlError, match="variables add more than"):
            fill(text)
    text = doubled(9)  # 1,022,000 characters
    assert resolved(Located(text, Lines(text, "f.sql").place), {}).text.strip() == "SHOW STREAMS;"


def test_only_short_names_are_compared() -> None:
    assert nearest("SUMM", ["SUM", "COUNT"]) == "SUM"
    assert nearest("a" * 10_000, ["a" * 9_999]) is None
    assert nearest("SUMM", ["x" * 100_000, *(f"C{n}" for n in range(100_000))]) is None
    assert listed(["A", "B"]) == "A, B"
    assert listed(f"C{n}" for n in range(1_000)).endswith("C19 and 980 more")
