"""`carina deliveries` on a CARINA_HOME without a server, with a folder of one DICOM series as its PACS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from carina.annotations.store import AnnotationStore, open_annotations
from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series
from carina.settings import Settings

GRID = Grid((9, 7, 6), np.diag([-1.1, -0.9, 2.5, 1.0]))


@pytest.fixture
def pacs(tmp_path: Path) -> Path:
    array = np.random.default_rng(1).integers(-900, 900, GRID.shape).astype(np.int16)
    write_series(Volume(array, GRID), tmp_path / "pacs" / "one", patient_id="P1")
    return tmp_path / "pacs"


@pytest.fixture
def annotations(carina_home) -> Iterator[AnnotationStore]:
    opened = open_annotations(Settings())
    yield opened
    opened.close()


def submit(annotations: AnnotationStore, image_id: str = "one"):
    return annotations.submit(image_id, Volume(np.ones(GRID.shape, np.uint8), GRID), names={"heart": 1})


def test_list_shows_states_tries_and_errors(carina, annotations):
    waiting, failed = submit(annotations), submit(annotations)
    annotations.deliveries.mark_retry(waiting.id, error="The PACS is down.", after_s=60)
    annotations.deliveries.mark_failed(failed.id, error="No series.")

    listed = carina("deliveries", "list", "--json").json

    assert [one["annotation_id"] for one in listed["deliveries"]] == [failed.id, waiting.id]
    assert (listed["status"]["pending"], listed["status"]["failed"]) == (1, 1)
    assert listed["status"]["oldest_waiting_s"] > 0
    only = carina("deliveries", "list", "--state", "failed", "--json").json["deliveries"]
    assert [one["last_error"] for one in only] == ["No series."]
    assert "1 need a person" in carina("deliveries", "list").stdout


def test_retry_takes_up_all_or_one(carina, annotations):
    first, second = submit(annotations), submit(annotations)
    for annotation in (first, second):
        annotations.deliveries.mark_failed(annotation.id, error="No series.")

    assert carina("deliveries", "retry", first.id, "--json").json["retried"] == 1
    assert annotations.deliveries.get(second.id).state == "failed"
    assert carina("deliveries", "retry", "--json").json["retried"] == 2
    assert annotations.deliveries.counts()["pending"] == 2


def test_retrying_what_does_not_exist_is_an_error(carina, annotations):
    ran = carina("deliveries", "retry", "0" * 32, "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownLabelError")


def test_wait_delivers_when_no_server_runs(carina, annotations, pacs):
    annotation = submit(annotations)
    ran = carina("deliveries", "wait", "--store", pacs, "--timeout-s", 60, "--json")
    assert (ran.exit_code, ran.json["status"]["delivered"]) == (0, 1)
    uid = annotations.deliveries.get(annotation.id).sop_instance_uid
    assert (pacs / "segmentations" / f"{uid}.dcm").is_file()


def test_wait_says_what_has_not_arrived(carina, annotations, pacs):
    submit(annotations, "not-in-the-pacs")
    ran = carina("deliveries", "wait", "--store", pacs, "--timeout-s", 10, "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "PacsError")
    assert "not-in-the-pacs" in ran.json["detail"]


def test_wait_with_nothing_to_deliver_needs_no_pacs(carina, annotations):
    assert carina("deliveries", "wait", "--json").json["status"]["pending"] == 0


def test_adopt_brings_labels_back_after_the_database_was_lost(carina, annotations, pacs, monkeypatch, tmp_path):
    submit(annotations)
    assert carina("deliveries", "wait", "--store", pacs).exit_code == 0
    monkeypatch.setenv("CARINA_HOME", str(tmp_path / "new-home"))

    dry = carina("deliveries", "adopt", "--store", pacs, "--dry-run", "--json").json
    assert dry["counts"] == {"admitted": 1}
    assert carina("deliveries", "adopt", "--store", pacs, "--rule", "none", "--json").json["counts"] == {
        "not admitted": 1
    }
    adopted = carina("deliveries", "adopt", "--store", pacs, "--image", "one", "--json").json
    assert [one["tag"] for one in adopted["objects"]] == ["final"]
    assert carina("deliveries", "adopt", "--store", pacs, "--json").json["counts"] == {"known": 1}


def test_adopt_follows_the_rule_of_the_installation(carina, annotations, pacs, monkeypatch, tmp_path):
    submit(annotations)
    assert carina("deliveries", "wait", "--store", pacs).exit_code == 0
    monkeypatch.setenv("CARINA_HOME", str(tmp_path / "new-home"))
    monkeypatch.setenv("CARINA_ADOPT", "manufacturer:acme*")
    assert carina("deliveries", "adopt", "--store", pacs, "--json").json["counts"] == {"not admitted": 1}


def test_a_rule_that_makes_no_sense_is_an_error(carina, pacs):
    ran = carina("deliveries", "adopt", "--store", pacs, "--rule", "theirs", "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "ConfigurationError")
