"""A batch drafts what needs a draft, once, keeps off a person's work, and goes on where it was stopped."""

from __future__ import annotations

import numpy as np
import pytest

from carina.annotations.drafts import drafts_of
from carina.annotations.submit import submit_label
from carina.errors import CancelledError, InvalidInputError, NoModelError, UnsafeIdError
from carina.geometry import Volume
from carina.jobs import infer
from carina.jobs.images import ALL
from carina.jobs.runner import JobRunner
from carina.registry import find_tasks

from .conftest import GRID, SPEC, add_version


@pytest.fixture
def batch(job_of):
    return job_of(infer)


def label(annotations, image_id: str, **more):
    array = np.zeros(GRID.shape, np.uint8)
    array[6:14, 5:15, 3:9] = 9
    given = {"image": GRID, "label": Volume(array, GRID), "client_names": {"heart": 9}, "spec": SPEC} | more
    return submit_label(annotations, image_id=image_id, **given)


def tags(annotations, image_id: str) -> list[tuple[str, str | None]]:
    return [(version.tag, version.model_version) for version in annotations.versions(image_id)]


def test_drafts_are_kept_as_versions_and_a_persons_work_is_left_alone(batch, annotations, settings):
    version = add_version(settings, 0)
    mine = label(annotations, "case1")
    result = batch(images=ALL)
    assert result == {
        "model_version": version, "images": 3, "drafted": 2, "already_drafted": 0, "labelled": 1, "failed": {},
    }  # fmt: skip
    assert [tags(annotations, f"case{number}") for number in range(3)] == [
        [("original", version)],
        [("final", None)],
        [("original", version)],
    ]
    assert annotations.latest("case1").id == mine.id
    draft = annotations.latest("case0", tag="original")
    volume, names = annotations.read(draft)
    assert volume.grid.matches(GRID)
    assert (names, draft.origin, draft.user, draft.task) == (SPEC.labels.indices, "automatic", "anna", SPEC.name)
    assert drafts_of(annotations, "case0")[0].model_version == version
    assert annotations.deliveries.counts().get("pending", 0) == 1  # the person's; drafts do not go to the PACS


def test_the_same_batch_again_drafts_nothing_and_another_version_drafts_anew(batch, annotations, settings):
    add_version(settings, 0)
    assert batch("first", images=ALL)["drafted"] == 3
    again = batch("again", images=ALL)
    assert (again["drafted"], again["already_drafted"]) == (0, 3)
    assert batch("rest")["images"] == 0  # unlabelled: no label at all, drafts included
    newer = add_version(settings, 1)
    assert batch("newer", images=ALL)["drafted"] == 3
    assert tags(annotations, "case2") == [("original", "v1"), ("original", newer)]


def test_a_stopped_batch_goes_on_with_the_same_images_and_version(batch, annotations, settings):
    version = add_version(settings, 0)

    def after_the_first() -> bool:
        return bool(annotations.versions("case0"))

    with pytest.raises(CancelledError):
        batch(cancelled=after_the_first)
    add_version(settings, 1)
    result = batch()
    assert (result["model_version"], result["images"]) == (version, 3)
    assert (result["already_drafted"], result["drafted"]) == (1, 2)
    assert all(tags(annotations, f"case{number}") == [("original", version)] for number in range(3))


def test_an_image_labelled_while_it_is_drafted_keeps_only_the_persons_label(batch, annotations, settings):
    add_version(settings, 0)
    looked = []

    def label_meanwhile() -> bool:
        looked.append(1)
        if len(looked) == 2:  # asked before the image, then before its first window
            label(annotations, "case0")
        return False

    assert batch(images=["case0"], cancelled=label_meanwhile)["labelled"] == 1
    assert tags(annotations, "case0") == [("final", None)]


def test_a_label_of_another_task_is_no_reason_to_leave_an_image_out(batch, annotations, settings):
    add_version(settings, 0)
    label(annotations, "case0", spec=find_tasks().get("wholebody_ct"))
    label(annotations, "case1", spec=None)  # made for no task, but with this task's heart
    assert batch(images=ALL)["labelled"] == 1
    assert [version.tag for version in annotations.versions("case0")] == ["final", "original"]


def test_an_image_that_cannot_be_drafted_does_not_hold_up_the_others(batch, annotations, settings, images):
    add_version(settings, 0)
    (images / "case1.nii.gz").write_bytes(b"not an image")
    result = batch(images=["case0", "case1", "gone", "case2"])
    assert result["drafted"] == 2
    assert sorted(result["failed"]) == ["case1", "gone"]


def test_without_a_model_the_job_says_so(batch):
    with pytest.raises(NoModelError, match="must have a model"):
        batch()


def test_a_limit_takes_the_first_images(batch, settings):
    add_version(settings, 0)
    assert batch(limit=1)["images"] == 1


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"images": "some"}, InvalidInputError),
        ({"images": ["../x"]}, UnsafeIdError),
        ({"limit": 0}, InvalidInputError),
        ({"limit": True}, InvalidInputError),
        ({"image": "all"}, InvalidInputError),
    ],
)
def test_options_that_cannot_be_right_are_refused(options, error):
    with pytest.raises(error):
        infer.check(SPEC, options)


@pytest.mark.slow
def test_as_a_job_in_its_own_process_it_drafts_a_folder(settings, images, annotations):
    add_version(settings, 0)
    runner = JobRunner(settings, store_url=str(images))
    job = runner.wait(runner.start("infer", {"task": SPEC.name, "options": {"device": "cpu"}}).id, timeout_s=400)
    assert job.state == "succeeded", "\n".join(runner.log_tail(job.id))
    assert job.result["drafted"] == 3
    outcomes = [event["outcome"] for event in runner.events(job.id)[0] if event["type"] == "image"]
    assert outcomes == ["drafted"] * 3
    runner.close()
