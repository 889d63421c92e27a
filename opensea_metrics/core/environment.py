"""The variables of the environment and of ``.env``, without the classes of settings, which take long to import."""

from __future__ import annotations

import os
from pathlib import Path

ENV_FILE = ".env"
"""A file of variables in the working directory."""


LOCAL_SERVER = "http://127.0.0.1:8088"
"""The URL of the server, unless an option or a variable gives another one."""


DATA_DIR = Path(".opensea-metrics")
"""The data directory of the embedded server, unless an option or a variable gives another one."""


def may_begin_with(*beginnings: str) -> bool:
    """False only if neither the environment, regardless of case, nor a file has a variable with such a beginning."""
    return Path(ENV_FILE).exists() or any(name.upper().startswith(beginnings) for name in os.environ)


def may_be_set(variable: str) -> bool:
    """False only if neither the environment, regardless of case, nor a file has the variable."""
    return Path(ENV_FILE).exists() or any(name.upper() == variable for name in os.environ)
