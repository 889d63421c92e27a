"""One of many processes that apply at once; started, and killed, by test_race."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from opensea_metrics.deploy import commands
from opensea_metrics.deploy.client import ClientError, KsqlClient
from opensea_metrics.deploy.migrations.errors import Locked, LockLost, MigrationError

REAL = bool(os.environ.get("KSQLDB_URL"))
# A real server takes seconds for a statement: who was killed must be dead for longer than that.
SITE = commands.Site(ttl=20.0 if REAL else 2.0)


def contend(url: str, root: str, result: str, start: float, deadline: float) -> None:
    """Apply until there is nothing to do; then write into the file ``result`` how it went.

    ``start`` and ``deadline`` are times of the clock. "refused" anywhere in the result is a bug:
    it means that something was done twice, or the record does not fit what there is.
    """
    client = KsqlClient(url, patience=30, wait=0.02)
    said: list[str] = []
    time.sleep(max(0.0, start - time.time()))
    while time.time() < deadline:
        try:
            made = commands.apply(client, Path(root), site=SITE)
        except (Locked, LockLost) as error:
            said.append(type(error).__name__)
            time.sleep(random.uniform(0.1, 0.5))
        except ClientError as error:  # a server with so many clients may have no time for one
            said.append(f"no answer: {error}")
        except MigrationError as error:
            said.append(f"refused: {error}")
            break
        else:
            said.append("applied" if made.versions else "nothing to do")
            break
    else:
        said.append("refused: not done in time")
    Path(result).write_text("\n".join(said))
