"""Reports the files of an archive that were not read, or not read to their end."""

from __future__ import annotations

from collections.abc import Mapping

from opensea_metrics.deploy.output.plain import say
from opensea_metrics.producer.archive.damage import Damage


def show_refused(refused: Mapping[str, str]) -> None:
    """Print to stderr each path of an archive that no reader accepts, with the reason."""
    for path, reason in refused.items():
        say(f"  skipped {path}: {reason}", stderr=True)


def show_damaged(damaged: Mapping[str, Damage]) -> None:
    """Print to stderr each file that could not be read to its end."""
    for path, damage in damaged.items():
        say(f"  {path} is damaged: {damage}", stderr=True)
    if damaged:
        missing = sum(damage.missing or 0 for damage in damaged.values())
        say(
            f"  {len(damaged):,} damaged files, in which at least {missing:,} records are missing\n"
            "  hint: restore them from a copy; opensea-metrics archive check lists all damage",
            stderr=True,
        )
