"""The newest row of each key, with the version at which it changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from opensea_metrics.deploy.dashboard.tables import Values


@dataclass
class RecentRows:
    """Rows by their first value, which is their key. At most the ``most`` greatest keys are kept.

    ``version`` grows with each change, so that a page gets exactly the rows that changed since its last message.
    """

    most: int
    version: int = 0
    _rows: dict[Hashable, tuple[int, Values]] = field(default_factory=dict)
    _replaced: int = 0

    def __len__(self) -> int:
        return len(self._rows)

    def replace(self, rows: Iterable[Values]) -> None:
        """Replace all rows with these."""
        self.version += 1
        self._replaced = self.version
        self._rows = {row[0]: (self.version, row) for row in rows}
        self._trim()

    def update(self, rows: Iterable[Values]) -> bool:
        """Store each row as the newest of its key. Returns False if no row differs from the stored one."""
        changed = [row for row in rows if (known := self._rows.get(row[0])) is None or known[1] != row]
        if not changed:
            return False
        self.version += 1
        for row in changed:
            self._rows[row[0]] = (self.version, row)
        self._trim()
        return True

    def all(self) -> list[Values]:
        """The rows, sorted by key."""
        return self.since(-1)[1]

    def since(self, version: int) -> tuple[bool, list[Values]]:
        """The rows that changed after a version, sorted by key.

        The flag is True if a page must replace all its rows.
        """
        is_full = version < self._replaced
        rows = [row for at, row in self._rows.values() if is_full or at > version]
        return is_full, sorted(rows, key=lambda row: row[0])

    def newest(self) -> Values | None:
        """The row with the greatest key."""
        return self._rows[max(self._rows)][1] if self._rows else None  # type: ignore[type-var]

    def _trim(self) -> None:
        for key in sorted(self._rows)[: max(0, len(self._rows) - self.most)]:  # type: ignore[type-var]
            del self._rows[key]
