"""Reads the YAML files of test cases."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Do not change it, because other tests get the same object.

    libyaml reads a file ten times as fast as PyYAML's own parser. Each worker of the tests reads all files.
    """
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
