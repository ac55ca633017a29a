"""Which images a job is about."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from carina.datastores.port import ImageRecord
from carina.errors import InvalidInputError
from carina.jobs.images import ALL, check_images, wanted_images
from carina.registry import find_tasks

RECORDS = [
    ImageRecord(image_id=image_id, patient_id="p", modality=modality)
    for image_id, modality in (("ct", "CT"), ("dx", "DX"), ("file", ""), ("cr", "CR"))
]


def work(task, **options):
    return SimpleNamespace(
        spec=find_tasks().get(task),
        images=SimpleNamespace(list_images=lambda: RECORDS),
        annotations=SimpleNamespace(versions=lambda image_id: []),
        options=options,
    )


def test_a_batch_takes_the_images_of_the_tasks_modalities_and_files_without_one():
    assert wanted_images(work("cxr_anatomy", images=ALL)) == ["dx", "file", "cr"]
    assert wanted_images(work("cxr_anatomy")) == ["dx", "file", "cr"]
    assert wanted_images(work("thorax_ct", images=ALL)) == ["ct", "file"]


def test_images_that_are_named_are_taken_whatever_they_are():
    assert wanted_images(work("cxr_anatomy", images=["ct", "dx"])) == ["ct", "dx"]


@pytest.mark.parametrize("images", [[{}], [["ct"]], [1], "some", {}])
def test_a_choice_of_images_that_cannot_be_right_is_refused(images):
    with pytest.raises(InvalidInputError, match="all, unlabelled or a list of ids"):
        check_images({"images": images})
