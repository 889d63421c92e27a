"""Walks through syntax trees, and copies of them with some parts replaced."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

_LEAVES = frozenset((exp.Boolean, exp.Identifier, exp.Literal, exp.Null, exp.Var))
"""Nodes without parts. Most nodes are of these types."""


def identifier(name: str, like: exp.Expr | None = None) -> exp.Identifier:
    """An identifier with exactly this name, at the position of the part that it replaces."""
    written = exp.Identifier(this=name, quoted=True)
    if like is not None:
        written.meta.update(like.meta)
    return written


def nodes(tree: exp.Expr) -> list[exp.Expr]:
    """All nodes of a tree, outer ones first. ``exp.Expression.walk`` does the same, but takes three times as long."""
    reached = [tree]
    for node in reached:  # the list grows during the loop
        if type(node) in _LEAVES:
            continue
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                reached.append(value)
            elif isinstance(value, list):
                reached += [item for item in value if isinstance(item, exp.Expr)]
    return reached


def rewritten(tree: exp.Expression, change: Callable[[exp.Expression], exp.Expression]) -> exp.Expression:
    """A copy of ``tree``. The tree itself does not change.

    ``change`` is called with a copy of each part, outer parts first, and returns its replacement. If it returns the
    same part, which it may have modified, the part's own parts follow. Other replacements are not walked.
    ``exp.Expression.transform`` does the same, but walks twice and copies positions deeply. It takes four times as
    long.
    """
    pending: list[exp.Expression] = []

    def begun(part: exp.Expression) -> exp.Expression:
        copy = part.__class__()
        copy.args = dict(part.args)
        if meta := part.meta:
            copy.meta.update(meta)
        changed = change(copy)
        if changed is copy and type(copy) not in _LEAVES:
            pending.append(copy)
        return changed

    root = begun(tree)
    while pending:
        part = pending.pop()
        for name, value in list(part.args.items()):
            if isinstance(value, exp.Expression):
                part.set(name, begun(value))
            elif isinstance(value, list):
                part.set(name, [begun(item) if isinstance(item, exp.Expression) else item for item in value])
    return root
