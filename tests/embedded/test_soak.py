"""The server under random schedules: nothing is lost, and nothing counts twice (see soak.py).

``make soak`` runs 300 with new seeds. ``SOAK_SEED=17 SOAK_SCHEDULES=1`` repeats one.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.embedded.soak import run_one

WORKERS = 2
FIRST = int(os.environ.get("SOAK_SEED", "1"))
COUNT = int(os.environ.get("SOAK_SCHEDULES", "4"))


@pytest.mark.slow
@pytest.mark.timeout(24 * 3600)
def test_random_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    seeds = range(FIRST, FIRST + COUNT)
    wrong: list[str] = []
    with capsys.disabled(), ProcessPoolExecutor(WORKERS, get_context("spawn")) as workers:
        print(f"\nsoak: seeds {seeds[0]} to {seeds[-1]}", flush=True)
        for done, problem in enumerate(workers.map(run_one, seeds), 1):
            if problem:
                print(problem, flush=True)
                wrong.append(problem)
            if done % 10 == 0:
                print(f"soak: {done} schedules, {len(wrong)} with losses", flush=True)
    assert wrong == []
