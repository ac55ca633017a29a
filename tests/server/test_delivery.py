"""Delivery into a folder store that holds a DICOM series; read back with highdicom's own reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import Comprehensive3DSRStorage, EnhancedSRStorage

from carina.annotations.drafts import remember_draft
from carina.annotations.submit import submit_findings, submit_label
from carina.datastores.port import open_store, read_image
from carina.dicom.provenance import read_predecessor, read_provenance
from carina.dicom.sr import read_findings
from carina.errors import MissingDependencyError, PacsError
from carina.geometry import Volume
from carina.registry import find_tasks
from carina.server.delivery import PacsDelivery
from carina.server.documents import coded_labels

from .judging import judge


@pytest.fixture
def deliver(store, annotations):
    return PacsDelivery(store=store, annotations=annotations, tasks=find_tasks())


def submitted(store, annotations, *, origin="manual", model_version=None):
    (record,) = store.list_images()
    image, _ = read_image(store, record.image_id)
    array = np.zeros(image.grid.shape, np.uint8)
    array[2:4, 2:5, 1:3] = 52
    array[6, 3, 4] = 7
    annotation = submit_label(
        annotations,
        image_id=record.image_id,
        image=image.grid,
        label=Volume(array, image.grid),
        client_names={"aorta": 52, "costal_cartilages": 7},
        spec=find_tasks().get("wholebody_ct"),
        user="Reader One",
        origin=origin,
        model_version=model_version,
    )
    return annotation, array


def found(store, annotations, annotation) -> pydicom.Dataset:
    return store.fetch_instance(annotations.deliveries.get(annotation.id).sop_instance_uid)


def test_the_seg_equals_the_annotation_voxel_for_voxel(store, annotations, deliver):
    annotation, array = submitted(store, annotations)
    delivery = annotations.deliveries.get(annotation.id)
    deliver(annotation, delivery)
    seg = highdicom.seg.Segmentation.from_dataset(found(store, annotations, annotation))
    _, series = read_image(store, annotation.image_id)
    masks = seg.get_pixels_by_source_instance(series.instance_uids, assert_missing_frames_are_empty=True)
    numbers = {segment.SegmentLabel: segment.SegmentNumber for segment in seg.SegmentSequence}
    for name, value in {"aorta": 52, "costal_cartilages": 7}.items():
        expected = (array == value).transpose(2, 1, 0)
        assert np.array_equal(masks[..., numbers[name] - 1] == 1, expected), name
    assert seg.SOPInstanceUID == delivery.sop_instance_uid
    assert seg.SeriesInstanceUID == delivery.series_instance_uid


def test_provenance_names_user_and_model_and_the_origin(store, annotations, deliver):
    (record,) = store.list_images()
    remember_draft(
        annotations, record.image_id, task="wholebody_ct", params={"model_version": "v3", "model_sha256": "ab" * 32}
    )
    annotation, _ = submitted(store, annotations, origin="semiautomatic", model_version="v3")
    deliver(annotation, annotations.deliveries.get(annotation.id))
    provenance = read_provenance(found(store, annotations, annotation))
    assert provenance.algorithm_type == "SEMIAUTOMATIC"
    assert (provenance.model_version, provenance.model_sha256) == ("v3", "ab" * 32)
    assert (provenance.task, provenance.user) == ("wholebody_ct", "Reader One")


def test_a_second_version_refers_to_the_first_as_its_predecessor(store, annotations, deliver):
    first, _ = submitted(store, annotations)
    second, _ = submitted(store, annotations)
    for annotation in (first, second):
        deliver(annotation, annotations.deliveries.get(annotation.id))
    assert read_predecessor(found(store, annotations, first)) is None
    predecessor = read_predecessor(found(store, annotations, second))
    assert predecessor.sop_instance_uid == annotations.deliveries.get(first.id).sop_instance_uid


def test_delivering_twice_leaves_one_object(store, annotations, deliver, tmp_path):
    annotation, _ = submitted(store, annotations)
    for _ in range(2):
        deliver(annotation, annotations.deliveries.get(annotation.id))
    segs = [path for path in Path(tmp_path / "pacs").rglob("*.dcm") if pydicom.dcmread(path).Modality == "SEG"]
    assert len(segs) == 1


def told(store, annotations, **answers):
    (record,) = store.list_images()
    spec = find_tasks().get("cxr_findings")
    said = [
        {"label": "edema", "score": 0.8, "state": "positive"},
        {"label": "mass", "score": 0.1, "state": "uncertain"},
    ]
    return submit_findings(
        annotations,
        image_id=record.image_id,
        findings=answers,
        spec=spec,
        user="Reader One",
        origin="semiautomatic",
        model_version="v3",
        said=said,
        measured=[{"name": "cardiothoracic_ratio", "value": 0.51, "task": "cxr_anatomy", "model_version": "v2"}],
    )


def test_findings_arrive_as_a_report_that_says_what_the_model_had_said(store, annotations, deliver):
    annotation = told(store, annotations, mass=False, edema=True, nodule=None)
    delivery = annotations.deliveries.get(annotation.id)
    deliver(annotation, delivery)
    document = read_findings(found(store, annotations, annotation))
    assert [(one.name, one.present, one.probability, one.state) for one in document.findings] == [
        ("edema", True, 0.8, "positive"), ("nodule", None, None, None), ("mass", False, 0.1, "uncertain"),
    ]  # fmt: skip
    (ratio,) = document.measurements
    assert (ratio.name, ratio.value, ratio.task) == ("cardiothoracic_ratio", 0.51, "cxr_anatomy")
    assert document.provenance.user == "Reader One"
    assert document.provenance.model_version == "v3"
    assert document.made == annotation.created
    assert (document.complete, document.final) == (False, True)
    assert document.sop_instance_uid == delivery.sop_instance_uid


def test_a_report_is_measured_on_the_reader_s_drawing_and_names_its_seg(store, annotations, deliver):
    (record,) = store.list_images()
    image, _ = read_image(store, record.image_id)
    array = np.zeros(image.grid.shape, np.uint8)
    array[0:3], array[5:8], array[3:5] = 1, 2, 3
    drawn = submit_label(
        annotations,
        image_id=record.image_id,
        image=image.grid,
        label=Volume(array, image.grid),
        client_names={"lung_right": 1, "lung_left": 2, "cardiomediastinum": 3},
        spec=find_tasks().get("cxr_anatomy"),
        user="Reader One",
    )
    early = told(store, annotations, edema=True)
    deliver(early, annotations.deliveries.get(early.id))
    deliver(drawn, annotations.deliveries.get(drawn.id))
    annotations.deliveries.mark_delivered(drawn.id)
    late = told(store, annotations, edema=False)
    deliver(late, annotations.deliveries.get(late.id))

    seg = annotations.deliveries.get(drawn.id).sop_instance_uid
    for annotation, named in ((early, False), (late, True)):
        dataset = found(store, annotations, annotation)
        ratio, heart, thorax = read_findings(dataset).measurements
        assert (ratio.name, ratio.value, ratio.model_version) == ("cardiothoracic_ratio", 2 / 8, "")
        assert (heart.value, thorax.value) == (2.2, 8.8)
        assert (seg in str(dataset.CurrentRequestedProcedureEvidenceSequence)) is named


def test_a_report_of_every_finding_of_the_task_is_complete(store, annotations, deliver):
    annotation = told(store, annotations, **dict.fromkeys(find_tasks().get("cxr_findings").labels.names, False))
    deliver(annotation, annotations.deliveries.get(annotation.id))
    assert read_findings(found(store, annotations, annotation)).complete


def test_a_report_follows_the_report_before_and_a_seg_the_seg(store, annotations, deliver):
    """A label map without a task comes between, and is in nobody's line but that of label maps."""
    first = told(store, annotations, edema=True)
    grid = read_image(store, first.image_id)[0].grid
    heart = Volume(np.ones(grid.shape, np.uint8), grid)
    drawn = [annotations.submit(first.image_id, heart, names={"heart": 1}) for _ in range(2)]
    second = told(store, annotations, edema=False)
    assert second.parent == drawn[1].id
    for annotation in (first, *drawn, second):
        deliver(annotation, annotations.deliveries.get(annotation.id))
    before = read_findings(found(store, annotations, second)).predecessor
    assert before.sop_instance_uid == annotations.deliveries.get(first.id).sop_instance_uid
    assert before.sop_class_uid == EnhancedSRStorage
    assert read_findings(found(store, annotations, first)).predecessor is None
    assert read_predecessor(found(store, annotations, drawn[0])) is None
    seg_before = read_predecessor(found(store, annotations, drawn[1]))
    assert seg_before.sop_instance_uid == annotations.deliveries.get(drawn[0].id).sop_instance_uid


def test_a_report_of_a_place_tells_it_and_follows_the_report_of_the_same_place(store, annotations, deliver):
    here, box = (2, 3, 4), ((1, 4), (2, 5), (0, 2))
    (record,) = store.list_images()
    versions = [
        judge(annotations, record.image_id, place, answer=answer) for answer in (True, False) for place in (here, box)
    ]
    for annotation in versions:
        deliver(annotation, annotations.deliveries.get(annotation.id))
    documents = [read_findings(found(store, annotations, annotation)) for annotation in versions]
    grid = read_image(store, versions[0].image_id)[0].grid
    assert [document.place.on(grid) for document in documents] == [here, box, here, box]
    assert [document.predecessor for document in documents[:2]] == [None, None]
    for document, before in zip(documents[2:], versions[:2], strict=True):
        assert document.predecessor.sop_instance_uid == annotations.deliveries.get(before.id).sop_instance_uid
        assert document.predecessor.sop_class_uid == Comprehensive3DSRStorage


class Forgetful:
    """A store that says it took an object, and may not have."""

    def __init__(self, real, *, keeps: bool) -> None:
        self._real = real
        self._keeps = keeps
        self.stored = 0

    def store_instance(self, dataset):
        self.stored += 1
        if self._keeps:
            self._real.store_instance(dataset)

    def __getattr__(self, name):
        return getattr(self._real, name)


def test_what_an_earlier_try_has_brought_there_is_not_sent_again(store, annotations, deliver):
    annotation, _ = submitted(store, annotations)
    delivery = annotations.deliveries.get(annotation.id)
    watched = Forgetful(store, keeps=True)
    for _ in range(2):
        replace(deliver, store=watched)(annotation, delivery)
    assert watched.stored == 1


def test_an_object_that_is_not_found_after_it_was_taken_has_not_arrived(store, annotations, deliver):
    annotation, _ = submitted(store, annotations)
    forgetful = replace(deliver, store=Forgetful(store, keeps=False))
    with pytest.raises(PacsError, match="does not find it"):
        forgetful(annotation, annotations.deliveries.get(annotation.id))


def test_an_image_that_is_not_dicom_needs_a_person(settings, images, annotations, services):
    store = open_store(images, settings=settings)
    image, _ = read_image(store, "case-a")
    annotation = annotations.submit(
        "case-a", Volume(np.ones(image.grid.shape, np.uint8), image.grid), names={"heart": 1}
    )
    delivery = PacsDelivery(store=store, annotations=annotations, tasks=find_tasks())
    with pytest.raises(MissingDependencyError, match="DICOM"):
        delivery(annotation, annotations.deliveries.get(annotation.id))


def test_labels_of_no_task_take_their_codes_from_the_catalogue():
    spec = find_tasks().get("thorax_ct")
    own = replace(spec.labels.named("heart"), index=4)
    labels = coded_labels({"costal_cartilages": 9, "heart": 4}, spec)
    assert labels[0] == own
    assert (labels[1].index, labels[1].type.value) == (9, "50016007")
    assert [label.name for label in coded_labels({"heart": 1}, None)] == ["heart"]
