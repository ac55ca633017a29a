"""Real processes; what they do is tested in `test_rounds`."""

from __future__ import annotations

import json

import pytest

from carina.errors import CancelledError
from carina.images import write_image, write_label
from carina.phantoms.chest import STRUCTURES, make_chest
from carina.simulate.plan import Plan
from carina.simulate.processes import simulate
from carina.simulate.rounds import Journal


@pytest.fixture
def plan(tmp_path) -> Plan:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    (tmp_path / "labels" / "labels.json").write_text(json.dumps(dict(STRUCTURES)))
    for seed in range(3):
        made = make_chest(seed, shape=(16, 16, 8))
        write_image(tmp_path / "images" / f"c{seed}.nii.gz", made.image)
        write_label(tmp_path / "labels" / f"c{seed}.nii.gz", made.label)
    return Plan(
        task="thorax_ct", images=str(tmp_path / "images"), labels=str(tmp_path / "labels"), strategies=(), seeds=1,
        start=1, step=1, rounds=2, steps=1, matrix_voxels=(16, 16, 8),
    )  # fmt: skip


@pytest.mark.slow
def test_two_processes_share_the_runs_and_every_round_is_on_disk(plan, tmp_path):
    said = []
    simulate(plan, tmp_path / "out", processes=2, progress=lambda fraction, text: said.append(fraction))
    assert [len(Journal(tmp_path / "out", *run).read()) for run in plan.runs] == [1, 2]
    assert said == sorted(said)
    assert said[-1] == 1.0


def test_stops_when_asked_and_goes_on_later(plan, tmp_path):
    with pytest.raises(CancelledError):
        simulate(plan, tmp_path / "out", cancelled=lambda: True)
    simulate(plan, tmp_path / "out")
    assert [len(Journal(tmp_path / "out", *run).read()) for run in plan.runs] == [1, 2]
