"""Copies of syntax trees with some parts replaced."""

from sqlglot import exp

from opensea_metrics.sql.language.dialect.rewriting import rewritten
from opensea_metrics.sql.language.statements.parser import parse_statement

TREE = parse_statement("CREATE STREAM t AS SELECT f(a, ARRAY[b, c + a]) AS x FROM s WHERE a > 1 EMIT CHANGES;").ast


def test_a_copy_is_equal_and_shares_no_part_with_the_tree() -> None:
    copy = rewritten(TREE, lambda part: part)
    assert copy == TREE
    assert not {id(part) for part in copy.walk()} & {id(part) for part in TREE.walk()}


def test_a_copy_keeps_positions_and_links_each_part_to_its_parent() -> None:
    copy = rewritten(TREE, lambda part: part)
    for original, part in zip(TREE.walk(), copy.walk(), strict=True):
        assert part.meta == original.meta
        assert (part.arg_key, part.index) == (original.arg_key, original.index)
    assert all(part.parent is not None for part in copy.walk() if part is not copy)


def test_what_takes_the_place_of_a_part_is_not_looked_into() -> None:
    def twice(part: exp.Expression) -> exp.Expression:
        if isinstance(part, exp.Column) and part.name == "a":
            return exp.Add(this=exp.column("a"), expression=exp.column("a"))
        return part

    before = TREE.sql("ksqldb")
    text = rewritten(TREE, twice).sql("ksqldb")
    assert text.count("a + a") == 3
    assert TREE.sql("ksqldb") == before
