"""A second carina, or one restored from an old backup, takes over what the first one brought to the PACS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sr.codedict import codes

from carina.annotations.adoption import parse_rule
from carina.annotations.annotation import HISTORY_TAG
from carina.annotations.store import AnnotationStore, open_annotations
from carina.annotations.submit import for_task, submit_findings, submit_label
from carina.datastores.port import ImageStore, open_store, read_image
from carina.dicom.provenance import read_content_time
from carina.errors import UnknownImageError
from carina.geometry import Grid, Volume
from carina.jobs.cases import labelled_cases
from carina.phantoms.dicom import write_series
from carina.registry import find_tasks
from carina.server.adoptable import Adoptable
from carina.server.adopting import Adopter, in_order
from carina.server.delivery import PacsDelivery
from carina.settings import Settings

from .judging import judge

NAMES = {"heart": 5, "trachea": 9}


@dataclass
class Site:
    """One PACS, and the carina that labels its images."""

    images: ImageStore
    annotations: AnnotationStore
    image_id: str

    def label(self, value: int, **more):
        """Submit a label that `value` tells from others."""
        image, _ = read_image(self.images, self.image_id)
        array = np.zeros(image.grid.shape, np.uint8)
        array[value, 1:4, 1:3] = NAMES["heart"]
        array[7, 5, 4] = NAMES["trachea"]
        return submit_label(
            self.annotations,
            image_id=self.image_id,
            image=image.grid,
            label=Volume(array, image.grid),
            client_names=NAMES,
            spec=find_tasks().get("thorax_ct"),
            patient_id="P1",
            **more,
        )

    def deliver(self) -> None:
        bring = PacsDelivery(store=self.images, annotations=self.annotations, tasks=find_tasks())
        while due := self.annotations.deliveries.newest(states=["pending"]):
            bring(self.annotations.get(due[-1].annotation_id), due[-1])
            self.annotations.deliveries.mark_delivered(due[-1].annotation_id)


def add_series(images: ImageStore, folder, seed: int = 0) -> str:
    affine = np.diag([-1.1, -0.9, 2.5, 1.0])
    array = np.random.default_rng(seed).integers(-900, 900, (9, 7, 6)).astype(np.int16)
    paths = write_series(Volume(array, Grid(array.shape, affine)), folder, patient_id=str(folder)[-40:], seed=seed)
    return images.add_image(paths.folder)


@pytest.fixture(params=["folder", pytest.param("orthanc", marks=pytest.mark.integration)])
def site(request, tmp_path) -> Iterator[Site]:
    settings = Settings(home=tmp_path / "first")
    if request.param == "folder":
        (tmp_path / "pacs").mkdir()
        images = open_store(tmp_path / "pacs", settings=settings)
    else:
        orthanc = request.getfixturevalue("orthanc")
        images = open_store(f"orthanc+{orthanc.url}", settings=settings, user=orthanc.user, password=orthanc.password)
    annotations = open_annotations(settings)
    yield Site(images, annotations, add_series(images, tmp_path / "in"))
    annotations.close()
    images.close()


@pytest.fixture
def second(tmp_path) -> Iterator[AnnotationStore]:
    opened = open_annotations(Settings(home=tmp_path / "second"))
    yield opened
    opened.close()


def run(site: Site, annotations: AnnotationStore, *, rule: str = "ours", **more):
    adopter = Adopter(site.images, annotations, rule=parse_rule(rule))
    return adopter.run(**{"image_id": site.image_id, **more})


def test_labels_that_overlap_come_over_whole(site, second):
    anatomy = find_tasks().get("cxr_anatomy")
    image, _ = read_image(site.images, site.image_id)
    array = np.random.default_rng(0).integers(0, 16, image.grid.shape, dtype=np.uint8) & 0b1101
    site.annotations.submit(
        site.image_id, Volume(array, image.grid), names=anatomy.labels.values, task=anatomy.name, origin="automatic"
    )
    site.deliver()
    run(site, second)
    (adopted,) = second.versions(site.image_id)
    np.testing.assert_array_equal(for_task(second, adopted, anatomy).array, array)


def test_versions_come_over_with_voxels_authors_model_and_ancestry(site, second):
    first = site.label(2, user="Reader One")
    then = site.label(3, user="Reader Two", origin="semiautomatic", model_version="v7")
    site.deliver()

    findings = run(site, second)

    assert [finding.outcome for finding in findings] == ["adopted", "adopted"]
    here = second.versions(site.image_id)
    assert [version.user for version in here] == ["Reader One", "Reader Two"]
    assert [version.origin for version in here] == ["manual", "semiautomatic"]
    assert [version.model_version for version in here] == [None, "v7"]
    assert [version.parent for version in here] == [None, here[0].id]
    assert {(version.task, version.tag) for version in here} == {("thorax_ct", "final")}
    for there, version in zip((first, then), here, strict=True):
        sent, names = site.annotations.read(there)
        came, new_names = second.read(version)
        assert set(new_names) == set(NAMES)
        for name in NAMES:
            np.testing.assert_array_equal(came.array == new_names[name], sent.array == names[name])
        assert came.grid.matches(sent.grid)


def test_an_adopted_version_is_delivered_already_and_makes_no_second_seg(site, second):
    annotation = site.label(2)
    site.deliver()
    before = site.images.find_documents("SEG", site.images.record(site.image_id).study_instance_uid)
    run(site, second)
    (here,) = second.versions(site.image_id)
    delivery = second.deliveries.get(here.id)
    assert delivery.state == "delivered"
    assert delivery.sop_instance_uid == site.annotations.deliveries.get(annotation.id).sop_instance_uid
    Site(site.images, second, site.image_id).deliver()
    assert site.images.find_documents("SEG", site.images.record(site.image_id).study_instance_uid) == before


def test_adopting_twice_changes_nothing(site, second):
    site.label(2)
    site.deliver()
    run(site, second)
    assert [finding.outcome for finding in run(site, second)] == ["known"]
    assert len(second.versions(site.image_id)) == 1
    assert len(list(second.files.complete(older_than_s=-1))) == 1


def test_what_this_carina_delivered_itself_is_known(site):
    site.label(2)
    site.deliver()
    assert [finding.outcome for finding in run(site, site.annotations)] == ["known"]
    assert len(site.annotations.versions(site.image_id)) == 1


def test_a_dry_run_says_what_it_would_do_and_does_nothing(site, second):
    site.label(2)
    site.deliver()
    assert [finding.outcome for finding in run(site, second, dry_run=True)] == ["admitted"]
    assert second.versions(site.image_id) == []


def test_work_done_since_the_backup_stays_the_label_in_use(site, second):
    site.label(2)
    site.deliver()
    newer = Site(site.images, second, site.image_id).label(4, user="Reader Three", deliver=False)
    (case,) = second.cases.of_image(site.image_id)
    second.cases.accept(site.image_id, case.task, user="Chief")
    (finding,) = run(site, second)
    assert finding.tag == HISTORY_TAG
    assert second.latest(site.image_id).id == newer.id
    (after,) = second.cases.of_image(site.image_id)
    assert (after.state, after.annotation_id) == ("accepted", newer.id)
    assert len(second.versions(site.image_id)) == 2


def test_a_seg_says_when_its_label_was_made_not_when_it_was_delivered(site):
    annotation = site.label(2)
    site.deliver()
    uid = site.annotations.deliveries.get(annotation.id).sop_instance_uid
    made = read_content_time(site.images.fetch_instance(uid))
    assert abs((made - annotation.created).total_seconds()) < 1e-3


def tell(site: Site, annotations: AnnotationStore | None = None, **answers):
    """Submit what a reader says of the image after a model."""
    said = [{"label": "edema", "score": 0.8, "state": "positive"}]
    return submit_findings(
        annotations or site.annotations,
        image_id=site.image_id,
        findings=answers,
        spec=find_tasks().get("cxr_findings"),
        user="Reader One",
        origin="semiautomatic",
        model_version="v3",
        patient_id="P1",
        said=said,
        measured=[MEASURED],
    )


MEASURED = {
    "name": "cardiothoracic_ratio", "meaning": "Cardiothoracic ratio", "value": 0.51, "unit": "1",
    "task": "cxr_anatomy", "model_version": "v2",
}  # fmt: skip


def test_reports_of_findings_come_over_with_answers_model_measurements_and_ancestry(site, second):
    tell(site, edema=True, mass=None)
    tell(site, edema=False, mass=True)
    site.deliver()

    assert [finding.outcome for finding in run(site, second)] == ["adopted", "adopted"]

    here = second.versions(site.image_id)
    said = [dict(version.answers) for version in here]
    assert said == [{"edema": True, "mass": None}, {"edema": False, "mass": True}]
    assert [version.parent for version in here] == [None, here[0].id]
    for version in here:
        assert (version.task, version.tag, version.user) == ("cxr_findings", "final", "Reader One")
        assert (version.origin, version.model_version) == ("semiautomatic", "v3")
        assert second.deliveries.get(version.id).state == "delivered"
        assert second.label_info(version.id)["measurements"] == [MEASURED]
        assert second.label_info(version.id)["prediction"] == [{"label": "edema", "score": 0.8, "state": "positive"}]
    assert [finding.outcome for finding in run(site, second)] == ["known", "known"]


def test_a_report_of_nothing_but_unsure_comes_over_too(site, second):
    tell(site, edema=None)
    site.deliver()
    run(site, second)
    (here,) = second.versions(site.image_id)
    assert dict(here.answers) == {"edema": None}


def test_a_report_is_as_new_as_its_own_task_s_answers_whatever_else_was_drawn_since(site, second):
    tell(site, edema=True)
    site.deliver()
    Site(site.images, second, site.image_id).label(4, user="Reader Three", deliver=False)
    (finding,) = run(site, second)
    assert finding.tag == "final"
    tell(site, edema=False)
    site.deliver()
    tell(site, second, edema=True)
    adopted = [one for one in run(site, second) if one.outcome == "adopted"]
    assert [one.tag for one in adopted] == [HISTORY_TAG]


def test_the_place_of_a_finding_comes_over_and_trains_there(site, second):
    here, box = (5, 3, 2), ((1, 4), (2, 5), (0, 2))
    for place, answer in ((here, True), (box, False)):
        judge(site.annotations, site.image_id, place, answer=answer)
    site.deliver()
    run(site, second)
    assert [second.label_info(one.id)["place"] for one in second.versions(site.image_id)] == [
        list(here), [list(ends) for ends in box],
    ]  # fmt: skip
    cases = labelled_cases(second, site.images, find_tasks().get("nodule_malignancy"))
    assert sorted(case.findings["malignant_nodule"] for case in cases) == [False, True]
    assert all(case.load().array.size for case in cases)


def test_a_report_is_as_new_as_the_answers_at_its_own_place(site, second):
    judge(site.annotations, site.image_id, (5, 3, 2), answer=True)
    judge(site.annotations, site.image_id, (1, 1, 1), answer=True)
    site.deliver()
    judge(second, site.image_id, (1, 1, 1), answer=False, deliver=False)
    adopted = {finding.annotation_id: finding.tag for finding in run(site, second)}
    places = {tuple(second.label_info(one)["place"]): tag for one, tag in adopted.items()}
    assert places == {(5, 3, 2): "final", (1, 1, 1): HISTORY_TAG}


def test_another_maker_s_report_is_left_alone_whatever_the_rule(site, second):
    annotation = tell(site, edema=True)
    site.deliver()
    foreign = site.images.fetch_instance(site.annotations.deliveries.get(annotation.id).sop_instance_uid)
    foreign.SOPInstanceUID = foreign.file_meta.MediaStorageSOPInstanceUID = hd.UID()
    foreign.Manufacturer = "Acme"
    site.images.store_instance(foreign)
    outcomes = {finding.sop_instance_uid: finding.outcome for finding in run(site, second, rule="all")}
    assert outcomes[foreign.SOPInstanceUID] == "not admitted"
    assert len(second.versions(site.image_id)) == 1


def foreign_seg(site: Site, algorithm_type: str = "AUTOMATIC") -> hd.seg.Segmentation:
    """What another maker's AI would leave in the PACS, written by plain highdicom."""
    import pydicom

    sources = [pydicom.dcmread(path) for path in sorted(site.images.fetch(site.image_id).iterdir())]
    sources.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    automatic = algorithm_type != "MANUAL"
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Heart by AI",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Heart,
        algorithm_type=algorithm_type,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="Lung AI", version="9", family=codes.DCM.ArtificialIntelligence
        )
        if automatic
        else None,
    )
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.ones((6, 7, 9), np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=hd.UID(),
        series_number=77,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Acme",
        manufacturer_model_name="Lung AI",
        software_versions="9",
        device_serial_number="1",
        series_description="Lung AI findings",
    )


def test_another_maker_s_output_is_not_adopted_by_default(site, second):
    site.images.store_instance(foreign_seg(site))
    (finding,) = run(site, second)
    assert (finding.outcome, finding.reason) == ("not admitted", "made by 'Acme'")
    assert second.versions(site.image_id) == []


def test_a_damaged_object_is_refused_and_holds_up_no_other(site, second):
    whole, broken = foreign_seg(site), foreign_seg(site)
    purpose, nothing = Dataset(), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = "121322", "DCM", "Source image"
    nothing.PurposeOfReferenceCodeSequence = [purpose]
    broken.SourceImageSequence = [nothing]
    for dataset in (whole, broken):
        site.images.store_instance(dataset)
    outcomes = {finding.sop_instance_uid: finding for finding in run(site, second, rule="manufacturer:acme")}
    assert outcomes[whole.SOPInstanceUID].outcome == "adopted"
    assert outcomes[broken.SOPInstanceUID].outcome == "refused"
    assert "damaged" in outcomes[broken.SOPInstanceUID].reason


def test_another_maker_s_output_that_a_rule_names_comes_in_as_a_draft_by_code(site, second):
    site.images.store_instance(foreign_seg(site))
    run(site, second, rule="manufacturer:acme")
    (here,) = second.versions(site.image_id)
    assert (here.tag, here.origin, here.model_version) == ("original", "automatic", "9")
    assert set(here.names) == {"heart"}
    assert second.read(here)[0].array.all()
    assert second.label_info(here.id)["adopted"]["manufacturer"] == "Acme"


def test_another_maker_s_manual_work_that_a_rule_names_is_final(site, second):
    site.images.store_instance(foreign_seg(site, "MANUAL"))
    run(site, second, rule="description:lung*")
    assert second.latest(site.image_id).origin == "manual"


def test_all_images_are_looked_at_when_none_is_named(site, second, tmp_path):
    site.label(2)
    other = Site(site.images, site.annotations, add_series(site.images, tmp_path / "other", seed=5))
    other.label(3)
    site.deliver()
    run(site, second, image_id=None)
    assert len(second.versions(site.image_id)) == len(second.versions(other.image_id)) == 1


def test_one_image_s_run_leaves_the_others_alone(site, second, tmp_path):
    site.label(2)
    other = Site(site.images, site.annotations, add_series(site.images, tmp_path / "other", seed=5))
    other.label(3)
    site.deliver()
    run(site, second, image_id=other.image_id)
    assert second.versions(site.image_id) == []
    assert len(second.versions(other.image_id)) == 1


def test_an_object_that_is_no_label_is_refused_in_words_and_the_others_come_in(site, second):
    site.label(2)
    site.deliver()
    broken = foreign_seg(site)
    del broken.PerFrameFunctionalGroupsSequence
    site.images.store_instance(broken)
    findings = {finding.sop_instance_uid: finding for finding in run(site, second, rule="all")}
    assert findings[broken.SOPInstanceUID].outcome == "refused"
    assert findings[broken.SOPInstanceUID].reason
    assert len(second.versions(site.image_id)) == 1


def test_an_image_that_is_not_there_is_an_error(site, second):
    with pytest.raises(UnknownImageError):
        run(site, second, image_id="1.2.3.4")


def test_no_object_comes_before_the_one_it_was_derived_from():
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def seg(uid: str, predecessor: str | None, made: datetime | None) -> Adoptable:
        return Adoptable(
            kind="SEG", uid=uid, source_series_uid="", study_instance_uid="", predecessor=predecessor, made=made
        )

    chain = [
        seg("a", "b", early),
        seg("b", "c", late),
        seg("c", "gone", None),
        seg("x", "y", early),
        seg("y", "x", late),
    ]
    order = [one.uid for one in in_order(chain)]
    assert sorted(order) == ["a", "b", "c", "x", "y"]
    assert order.index("c") < order.index("b") < order.index("a")


def test_what_the_pacs_no_longer_has_stays_here(site):
    annotation = site.label(2)
    site.deliver()
    before = site.annotations.read(annotation)[0].array
    site.images.remove_image(site.image_id)
    assert site.image_id not in {record.image_id for record in site.images.list_images()}
    run(site, site.annotations, image_id=None)
    assert [version.id for version in site.annotations.versions(site.image_id)] == [annotation.id]
    assert site.annotations.latest(site.image_id).id == annotation.id
    np.testing.assert_array_equal(site.annotations.read(annotation)[0].array, before)
    assert site.annotations.deliveries.get(annotation.id).state == "delivered"
