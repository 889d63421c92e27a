"""Random schedules of faults between the tool and a server.

Whatever goes wrong on the way, the end is that of a run in which nothing does. ``make test-faults`` runs
a thousand, which takes longer than all other tests together.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.deploy.faults import disturbed

WORKERS = 2
SEEDS = int(os.environ.get("FAULT_SEEDS", "50"))
"""Two schedules each: one while applying, one while rolling back."""


def _on_an_embedded_server(directory: str, seeds: range) -> list[str]:
    from opensea_metrics.deploy.embedded.server import running

    with running(Path(directory)) as url:
        return disturbed(url, seeds)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_schedules_of_faults(tmp_path: Path) -> None:
    if url := os.environ.get("KSQLDB_URL"):
        assert disturbed(url, range(10), timeout=10.0) == []
        return
    share = SEEDS // WORKERS
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as workers:
        found = workers.map(
            _on_an_embedded_server,
            [str(tmp_path / str(each)) for each in range(WORKERS)],
            [range(each * share, (each + 1) * share) for each in range(WORKERS)],
        )
        assert [wrong for each in found for wrong in each] == []
