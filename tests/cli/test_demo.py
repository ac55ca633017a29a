from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from carina.cli.demo import find_failures
from carina.cli.demo_loop import DemoResult, Draft
from carina.cli.demo_studies import make_studies, seg_on_grid
from carina.datastores.archive import unpack_zip
from carina.dicom.seg import Provenance, write_seg
from carina.dicom.series import read_series
from carina.registry import find_tasks


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return make_studies(5, seed=40, folder=tmp_path_factory.mktemp("studies"), report=lambda done, text: None)


@pytest.fixture
def good(studies):
    label = studies[0].truth

    def draft(version, dice):
        return Draft(model_version=version, label=label, dice={"heart": dice, "nodule": dice})

    return DemoResult(
        held_out=studies[0],
        before=draft("v1", 0.3),
        after=draft("v2", 0.9),
        promoted=True,
        reason="not worse",
        leaked=False,
        sop_instance_uid="1.2.3",
        seg_identical=True,
    )


def test_a_demo_that_shows_everything_has_no_failure(good):
    assert find_failures(good) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"promoted": False}, "promote"),
        ({"leaked": True}, "must not be trained on"),
        ({"seg_identical": False}, "voxel for voxel"),
    ],
)
def test_each_broken_promise_is_a_failure(good, changes, words):
    failures = find_failures(dataclasses.replace(good, **changes))

    assert len(failures) == 1
    assert words in failures[0]


@pytest.mark.parametrize(("before", "after", "count"), [(0.3, 0.84, 1), (0.7, 0.89, 1), (0.8, 0.8, 2), (0.6, 0.85, 0)])
def test_the_second_draft_must_be_good_and_clearly_better(good, before, after, count):
    result = dataclasses.replace(
        good,
        before=dataclasses.replace(good.before, dice={"heart": before}),
        after=dataclasses.replace(good.after, dice={"heart": after}),
    )

    assert len(find_failures(result)) == count


def test_the_same_model_twice_is_a_failure(good):
    result = dataclasses.replace(good, after=dataclasses.replace(good.after, model_version="v1"))

    assert len(find_failures(result)) == 1


def test_the_studies_are_different_patients_on_different_grids(studies):
    assert len({study.image_id for study in studies}) == len({study.patient_id for study in studies}) == 5
    assert studies[2].truth.grid.spacing_mm != studies[0].truth.grid.spacing_mm
    oblique = np.abs(studies[-1].truth.grid.affine_ras[:3, :3])
    assert np.count_nonzero(oblique > 0.1) > 3, "the held-out study lies oblique"


@pytest.mark.parametrize("number", range(5))
def test_a_seg_is_read_back_onto_the_truths_grid_voxel_for_voxel(studies, number, tmp_path):
    study, labels = studies[number], find_tasks().get("thorax_ct").labels
    unpack_zip(study.archive, tmp_path / "series")
    series = read_series(tmp_path / "series")
    provenance = Provenance(algorithm_type="MANUAL", task="thorax_ct")
    write_seg(study.truth, series, labels=labels, provenance=provenance).save_as(tmp_path / "seg.dcm")

    read = seg_on_grid((tmp_path / "seg.dcm").read_bytes(), study.truth.grid, labels)

    np.testing.assert_array_equal(read.array, study.truth.array)


def test_the_home_must_be_new(carina, tmp_path):
    (tmp_path / "something").touch()

    ran = carina("demo", "--home", tmp_path, "--json")

    assert ran.exit_code == 1
    assert "new or empty folder" in ran.json["detail"]
