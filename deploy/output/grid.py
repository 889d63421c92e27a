"""Rows as a table with lines around its cells, or row by row where a table does not fit.

Rich's tables take seconds for 10,000 rows; these take a tenth of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells

Cell = Sequence[str]
"""The lines of a cell."""
_LINES = {"top": ("┏", "━", "┳", "┓"), "below": ("┡", "━", "╇", "┩"), "end": ("└", "─", "┴", "┘")}


def table(
    names: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[bool], folds: Sequence[bool], width: int
) -> list[str] | None:
    """The lines of a table; the second one is the header. None if the table is wider than ``width`` characters.

    Cells of columns that fold are broken between words. ``right``: columns whose cells are aligned to the right.
    """
    natural, least = [], []
    for at, name in enumerate(names):
        cells = [line for row in rows for line in row[at]]
        natural.append(max([cell_len(name), *map(cell_len, cells)]))
        words = (cell_len(word) for line in cells for word in line.split(" "))
        least.append(max([cell_len(name), *words]) if folds[at] else natural[-1])
    room = width - 3 * len(names) - 1
    if sum(least) > room:
        return None
    widths = _fitted(natural, least, room)
    lines = [_rule("top", widths), _line("┃", [_padded(n, w, False) for n, w in zip(names, widths, strict=True)])]
    lines.append(_rule("below", widths))
    for row in rows:
        folded = [_folded(cell, w) if fold else cell for cell, w, fold in zip(row, widths, folds, strict=True)]
        for at in range(max(map(len, folded), default=1)):
            parts = (
                _padded(cell[at] if at < len(cell) else "", w, is_right)
                for cell, w, is_right in zip(folded, widths, right, strict=True)
            )
            lines.append(_line("│", list(parts)))
    return [*lines, _rule("end", widths)]


def record(names: Sequence[str], row: Sequence[Cell], width: int) -> list[str]:
    """The lines of one row, each with a column's name and value. Values wrap at ``width`` characters."""
    margin = max(map(cell_len, names), default=0) + 2
    lines = []
    for name, value in zip(names, row, strict=True):
        pieces = [piece for line in value for piece in chop_cells(line, max(20, width - margin))] or [""]
        heads = [_padded(name, margin, False), *[" " * margin] * (len(pieces) - 1)]
        lines += [f"{head}{piece}".rstrip() for head, piece in zip(heads, pieces, strict=True)]
    return lines


def heading(text: str, width: int) -> str:
    """The line above a row: ``row 1 ────``."""
    return f"{text} {'─' * max(3, width - cell_len(text) - 1)}"


def _fitted(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that fit into ``room``: the widest column that may shrink loses characters first."""
    widths = list(natural)
    excess = sum(widths) - room
    while excess > 0:
        at = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[at] -= 1
        excess -= 1
    return widths


def _folded(cell: Cell, width: int) -> list[str]:
    return [piece for line in cell for piece in _broken(line, width)]


def _broken(line: str, width: int) -> Iterator[str]:
    if cell_len(line) <= width:
        yield line
        return
    piece = ""
    for word in line.split(" "):
        longer = f"{piece} {word}" if piece else word
        if piece and cell_len(longer) > width:
            yield piece
            longer = word
        piece = longer
    yield piece


def _rule(name: str, widths: Sequence[int]) -> str:
    left, dash, cross, end = _LINES[name]
    return left + cross.join(dash * (width + 2) for width in widths) + end


def _line(edge: str, cells: Sequence[str]) -> str:
    return f"{edge} {f' {edge} '.join(cells)} {edge}"


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
