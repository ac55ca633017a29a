"""The short form of `python -m tests.faults`: a few runs with a real Orthanc, a kill and a full disk among them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from .campaign import run_campaign
from .faults import KINDS, plan

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SEED, RUNS = 7, 2


def test_every_acknowledged_label_is_stored_and_delivered_once_whatever_fails(orthanc_installed, tmp_path):
    tally = run_campaign(tmp_path, runs=RUNS, seed=SEED)
    assert tally.notes == []
    assert tally.right
    assert json.loads(json.dumps(tally.to_json()))["submits"] == tally.submits
    assert tally.outcomes["acknowledged"] > 0
    assert tally.faults["server killed"] > 0
    assert tally.faults["outbox killed"] > 0


def test_plans_follow_from_their_seed_and_cover_every_kind():
    def plans(seed: int):
        return [plan(np.random.default_rng([seed, number]), disk_is_small=True) for number in range(60)]

    assert plans(0) == plans(0) != plans(1)
    assert Counter(fault.kind for faults in plans(0) for fault in faults).keys() == set(KINDS)


def test_without_a_disk_of_its_own_no_disk_is_filled():
    plans = [plan(np.random.default_rng(number), disk_is_small=False) for number in range(200)]
    assert "disk full" not in {fault.kind for faults in plans for fault in faults}
