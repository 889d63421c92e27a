"""An archive in the predecessor's format, from one of ours.

Its lines have no ``event_time``. Half of the files are as ``json.dumps`` writes them. The other half are as Kafka
Connect's sink does: without blanks, and with the keys in the order of Java's hash map.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any


def write_foreign(source: Path, target: Path) -> None:
    """Write a topic's folder again, file by file, in the predecessor's format."""
    for number, file in enumerate(sorted(source.rglob("*.json.gz"))):
        out = target / file.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(file, "rt") as lines, gzip.open(out, "wt", 6) as written:
            for line in lines:
                event = json.loads(line)
                del event["event_time"]
                event["ref"] = None
                if number % 2:
                    written.write(json.dumps(event) + "\n")
                else:
                    text = json.dumps(_in_java_order(event), separators=(",", ":"), ensure_ascii=False)
                    written.write(text + "\n")


def _in_java_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_java_order(value[key]) for key in sorted(value, key=_bucket)}
    return value


@cache
def _bucket(key: str) -> int:
    """The place of a key in a small hash map of Java."""
    hashed = 0
    for letter in key:
        hashed = (31 * hashed + ord(letter)) & 0xFFFFFFFF
    return (hashed ^ (hashed >> 16)) & 15
