"""Batches of radiographs: findings are noted with their probabilities, drawings kept as versions; both read ahead."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from carina.annotations.drafts import drafts_of
from carina.annotations.submit import for_task, submit_findings
from carina.datastores.port import open_store
from carina.errors import CancelledError, InvalidInputError
from carina.images import read_volume
from carina.infers.segmentation import segment
from carina.infers.told import tell
from carina.jobs import infer
from carina.jobs.findings import growing_groups
from carina.jobs.images import ALL
from carina.models.calibration import Calibration
from carina.models.loading import load_into
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from carina.registry import find_tasks

from .conftest import add_version

FINDINGS, ANATOMY = find_tasks().get("cxr_covid19"), find_tasks().get("cxr_anatomy")
COUNT = 11
"""More than go through the network together."""


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    """Pictures of several sizes; `r03` is damaged."""
    folder, random = tmp_path / "radiographs", np.random.default_rng(0)
    folder.mkdir()
    for number in range(COUNT):
        array = random.integers(0, 255, (60 + number, 50), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"r{number:02d}.png")
    (folder / "r03.png").write_bytes(b"not an image")
    return folder


@pytest.fixture
def batch_of(job_of, radiographs, settings):
    """Runs a batch of a task on the radiographs."""
    store = open_store(str(radiographs), settings=settings)
    yield lambda spec: job_of(infer, spec, store)
    store.close()


@pytest.fixture
def batch(batch_of):
    return batch_of(FINDINGS)


def test_the_first_answers_come_soon_and_later_ones_many_at_once():
    images = [str(number) for number in range(100)]
    groups = list(growing_groups(images))
    assert [len(group) for group in groups] == [8, 16, 32, 32, 12]
    assert [one for group in groups for one in group] == images


def events_of(tmp_path, job: str = "job"):
    lines = (tmp_path / job / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == "image"]


def test_answers_are_those_of_one_image_alone_and_are_noted_and_told(
    batch, annotations, settings, radiographs, tmp_path
):
    version = add_version(settings, 0, FINDINGS)

    result = batch(images=ALL)

    assert (result["model_version"], result["drafted"], list(result["failed"])) == (version, COUNT - 1, ["r03"])
    models = ModelStore(settings.models_dir)
    network = build_network(FINDINGS)
    load_into(network, models.get(FINDINGS.name, version), spec=FINDINGS)
    prepared = prepare(read_volume(radiographs / "r10.png"), FINDINGS)
    (alone,) = tell(
        prepared,
        spec=FINDINGS,
        network=network.eval(),
        calibration=Calibration(findings={}),
        device=torch.device("cpu"),
    )
    (draft,) = drafts_of(annotations, "r10")
    (noted,) = draft.prediction
    assert (draft.task, draft.model_version, noted["label"]) == (FINDINGS.name, version, "covid19")
    assert noted["score"] == pytest.approx(alone.score, abs=1e-4)
    assert annotations.versions("r10") == [], "a draft says neither yes nor no"
    assert annotations.cases.get("r10", FINDINGS.name).state == "draft"
    told = {event["image"]: event for event in events_of(tmp_path)}
    assert list(told) == [f"r{number:02d}" for number in range(COUNT)]
    assert told["r10"]["prediction"] == [noted]
    assert told["r03"]["outcome"] == "failed"


def test_what_is_answered_or_labelled_already_is_passed_over(batch, annotations, settings):
    add_version(settings, 0, FINDINGS)
    submit_findings(annotations, image_id="r00", findings={"covid19": True}, spec=FINDINGS)
    first = batch("first", images=["r00", "r01", "r02"])
    again = batch("again", images=["r00", "r01", "r02", "r04"])
    assert (first["drafted"], first["labelled"]) == (2, 1)
    assert (again["drafted"], again["already_drafted"], again["labelled"]) == (1, 2, 1)
    assert batch("rest")["images"] == COUNT - 4  # unlabelled: neither answered nor labelled
    newer = add_version(settings, 1, FINDINGS)
    assert batch("newer", images=["r01"])["drafted"] == 1
    assert drafts_of(annotations, "r01")[0].model_version == newer


def test_a_stopped_batch_goes_on_and_asks_nothing_twice(batch, annotations, settings, tmp_path):
    version = add_version(settings, 0, FINDINGS)

    with pytest.raises(CancelledError):
        batch(cancelled=lambda: bool(drafts_of(annotations, "r00")))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("carina-ahead")]
    add_version(settings, 1, FINDINGS)
    result = batch()

    assert result["model_version"] == version
    assert result["already_drafted"] >= 1
    assert result["drafted"] + result["already_drafted"] == COUNT - 1
    assert {draft.model_version for number in (0, 5, 10) for draft in drafts_of(annotations, f"r{number:02d}")} == {
        version
    }


def test_drawings_of_radiographs_are_kept_as_versions(batch_of, annotations, settings, radiographs):
    version = add_version(settings, 0, ANATOMY)
    result = batch_of(ANATOMY)(images=["r01", "r03", "r02"])
    assert (result["drafted"], list(result["failed"])) == (2, ["r03"])
    (kept,) = annotations.versions("r02")
    assert (kept.tag, kept.model_version) == ("original", version)
    image = read_volume(radiographs / "r02.png")
    assert annotations.read(kept)[0].grid.matches(image.grid)
    models = ModelStore(settings.models_dir)
    network = build_network(ANATOMY)
    load_into(network, models.get(ANATOMY.name, version), spec=ANATOMY)
    drawn = segment(image, spec=ANATOMY, network=network.eval(), device="cpu").array
    assert (np.unpackbits(drawn).reshape(-1, 8).sum(axis=1) > 1).any(), "labels of random weights overlap somewhere"
    np.testing.assert_array_equal(for_task(annotations, kept, ANATOMY).array, drawn)


@pytest.mark.parametrize("options", [{"roi": "heart"}, {"overlap": 0.2}])
def test_options_of_findings_are_checked(options):
    with pytest.raises(InvalidInputError):
        infer.check(FINDINGS, options)
