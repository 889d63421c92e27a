"""The server under random schedules: nothing is lost, nothing counts twice (see soak.py).

``make soak`` runs 300 with new seeds. ``SOAK_SEED=17 SOAK_SCHEDULES=1`` repeats one.
"""

from __future__ import annotations

import os

import pytest

from tests.embedded.soak import run_one

FIRST = int(os.environ.get("SOAK_SEED", "1"))
COUNT = int(os.environ.get("SOAK_SCHEDULES", "4"))


@pytest.mark.timeout(24 * 3600)
def test_random_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    with capsys.disabled():
        print(f"\nsoak: seeds {FIRST} to {FIRST + COUNT - 1}")
        for seed in range(FIRST, FIRST + COUNT):
            if problem := run_one(seed):
                print(problem)
                wrong.append(problem)
            elif COUNT > 10 and (seed - FIRST + 1) % 10 == 0:
                print(f"soak: {seed - FIRST + 1} schedules, {len(wrong)} of them with losses", flush=True)
    assert wrong == []
