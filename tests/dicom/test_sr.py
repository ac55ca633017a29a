"""What was said of a radiograph as an SR document: read by pydicom, checked by dicom3tools, and read back."""

from __future__ import annotations

import copy
import dataclasses
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage

from carina.dicom.provenance import (
    ObjectReference,
    Provenance,
    made_by_carina,
    read_content_time,
    state_content_time,
)
from carina.dicom.seg import write_seg
from carina.dicom.series import read_series
from carina.dicom.sr import ReportedFinding, place_text, read_findings, write_findings
from carina.errors import DicomError, InvalidInputError
from carina.findings import CLINICAL_FINDING, FINDINGS
from carina.geometry import Grid, Volume, lps_to_ras
from carina.measurements import Measurement
from carina.structures import label_set

from .builder import enhanced, make_array, make_grid, radiograph, single_frames

CORRECTED = Provenance(
    algorithm_type="SEMIAUTOMATIC",
    task="cxr_findings",
    model_version="v3",
    model_sha256="ab" * 32,
    user="Novák^Jan",
)
MANUAL = Provenance(algorithm_type="MANUAL", task="cxr_findings", user="Reader One")
PREDECESSOR = ObjectReference(
    sop_instance_uid="2.25.11", series_instance_uid="2.25.12", sop_class_uid=str(EnhancedSRStorage)
)


def finding(name, present, *, probability=None, state=None):
    return ReportedFinding(
        name=name, category=CLINICAL_FINDING, code=FINDINGS[name], present=present, probability=probability, state=state
    )


SAID = (
    finding("pneumothorax", True, probability=0.9125, state="positive"),
    finding("effusion", False, probability=0.061, state="negative"),
    finding("pleural_thickening", None, probability=0.5, state="uncertain"),
)
BY_HAND = tuple(finding(name, answer) for name, answer in (("edema", True), ("mass", False), ("nodule", None)))


@pytest.fixture
def series():
    return read_series([radiograph(np.arange(48).reshape(6, 8))])


def items(dataset, concept):
    """Every content item of a document with a concept's code value, however deep."""
    found = []
    for item in dataset.get("ContentSequence") or ():
        name = item.ConceptNameCodeSequence[0] if item.get("ConceptNameCodeSequence") else None
        if name is not None and (name.get("CodeValue") or name.get("LongCodeValue")) == concept:
            found.append(item)
        found.extend(items(item, concept))
    return found


def coded(item):
    code = item.ConceptCodeSequence[0]
    return code.get("CodeValue") or code.get("LongCodeValue"), code.CodingSchemeDesignator


@pytest.mark.parametrize(
    ("said", "provenance"),
    [
        (SAID, CORRECTED),
        (BY_HAND, MANUAL),
        (SAID[:1], Provenance(algorithm_type="AUTOMATIC", task="cxr_findings", model_version="v3")),
        (BY_HAND, Provenance(algorithm_type="MANUAL", task="cxr_covid19")),
        (tuple(finding(name, True) for name in FINDINGS), MANUAL),
    ],
    ids=["corrected draft", "by hand", "draft alone", "nobody's name", "every finding of the catalogue"],
)
def test_a_document_comes_back_as_it_was_said_and_conforms(tmp_path, assert_conforms, series, said, provenance):
    written = write_findings(said, series, provenance=provenance, complete=True, predecessor=PREDECESSOR)
    written.save_as(tmp_path / "sr.dcm", enforce_file_format=True)
    assert_conforms(tmp_path / "sr.dcm")

    document = read_findings(tmp_path / "sr.dcm")

    assert document.findings == said
    assert document.provenance == provenance
    assert document.predecessor == PREDECESSOR
    assert document.source_instance_uids == series.instance_uids
    assert (document.complete, document.final) == (True, True)


def test_each_answer_is_a_code_of_the_standard_and_each_probability_a_number_with_its_algorithm(series):
    written = write_findings(SAID, series, provenance=CORRECTED)

    assert [coded(item) for item in items(written, "121071")] == [
        ("36118008", "SCT"), ("60046008", "SCT"), ("pleural_thickening", "99CARINA"),
    ]  # fmt: skip
    assert [coded(item)[0] for item in items(written, "121052")] == ["52101004", "272519000", "373068000"]
    numbers = items(written, "122157")
    assert [float(item.MeasuredValueSequence[0].NumericValue) for item in numbers] == [0.9125, 0.061, 0.5]
    assert {item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for item in numbers} == {"1"}
    assert {item.TextValue for item in items(numbers[0], "111001")} == {"carina cxr_findings"}
    assert {item.TextValue for item in items(numbers[0], "111003")} == {"v3"}
    assert [item.TextValue for item in items(numbers[0], "111002")] == [f"model_sha256='{'ab' * 32}'"]


def test_it_names_the_person_the_device_and_the_images_and_is_verified_by_nobody(series):
    written = write_findings(SAID, series, provenance=CORRECTED)
    assert [str(item.PersonName) for item in items(written, "121008")] == ["Novák^Jan"]
    assert [item.TextValue for item in items(written, "121014")] == ["carina"]
    assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items(written, "121112")} == {
        series.instance_uids[0]
    }
    assert (written.CompletionFlag, written.VerificationFlag, written.PreliminaryFlag) == (
        "PARTIAL", "UNVERIFIED", "FINAL",
    )  # fmt: skip
    assert "VerifyingObserverSequence" not in written
    assert str(written.PatientName) == "Jürgen^Test"


def test_the_text_says_the_same_in_sentences_without_anybody_s_name(series):
    text = read_findings(write_findings(SAID, series, provenance=CORRECTED)).text
    assert text == (
        "Present: Pneumothorax. Absent: Pleural effusion. Unsure: Pleural thickening. The model's draft (carina "
        "cxr_findings, v3) had as probabilities: Pneumothorax 0.91, Pleural effusion 0.06, Pleural thickening 0.50. "
        "The model could not tell: Pleural thickening. A reader answered after seeing the model's draft."
    )


MEASURED = (
    Measurement(name="cardiothoracic_ratio", value=0.5216, task="cxr_anatomy", model_version="v7"),
    Measurement(name="heart_width", value=142.31, task="cxr_anatomy", model_version="v7"),
    Measurement(name="opacity_share", value=12.34, task="cxr_opacity", model_version="v1"),
)


def test_measurements_come_back_with_unit_and_model_and_conform(assert_conforms, series):
    written = write_findings(SAID, series, provenance=CORRECTED, measurements=MEASURED)
    assert_conforms(written)

    numbers = {name: items(written, name)[0] for name in ("cardiothoracic_ratio", "heart_width", "opacity_share")}
    values = {name: item.MeasuredValueSequence[0] for name, item in numbers.items()}
    assert [float(value.NumericValue) for value in values.values()] == [0.522, 142.3, 12.3]
    units = [value.MeasurementUnitsCodeSequence[0] for value in values.values()]
    assert [(unit.CodeValue, unit.CodingSchemeDesignator) for unit in units] == [
        ("1", "UCUM"), ("mm", "UCUM"), ("%", "UCUM"),
    ]  # fmt: skip
    assert [item.TextValue for item in items(numbers["heart_width"], "111001")] == ["carina cxr_anatomy"]
    assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items(written, "121112")} == {
        series.instance_uids[0]
    }
    document = read_findings(written)
    assert document.measurements == MEASURED
    assert document.findings == SAID
    assert document.provenance == CORRECTED


def test_a_reader_s_drawing_is_a_source_of_what_was_measured_on_it_and_no_model_is_named(assert_conforms, series):
    (ratio, *_) = MEASURED
    by_reader = dataclasses.replace(ratio, model_version="")
    seg = ObjectReference(sop_instance_uid="2.25.21", series_instance_uid="2.25.22")
    written = write_findings(
        SAID, series, provenance=CORRECTED, measurements=[by_reader], segmentations={"cxr_anatomy": seg}
    )
    assert_conforms(written)
    group = next(one for one in items(written, "125007") if items(one, "cardiothoracic_ratio"))
    sources = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items(group, "121112")}
    assert sources == {series.instance_uids[0], "2.25.21"}
    assert items(items(group, "cardiothoracic_ratio")[0], "111001") == []
    document = read_findings(written)
    assert document.measurements == (by_reader,)
    assert document.source_instance_uids == series.instance_uids
    assert "Measured on what a reader for cxr_anatomy drew" in document.text


def test_a_finding_is_followed_from_version_to_version_by_its_tracking_uid(series):
    first, second = (write_findings([finding("mass", answer)], series, provenance=MANUAL) for answer in (True, False))
    other = write_findings([finding("nodule", True)], series, provenance=MANUAL)
    uids = [items(one, "112040")[0].UID for one in (first, second, other)]
    assert uids[0] == uids[1] != uids[2]
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_uids_that_were_fixed_before_are_the_document_s(series):
    fixed = {"sop_instance_uid": "2.25.1", "series_instance_uid": "2.25.2"}
    first, again = (write_findings(SAID, series, provenance=CORRECTED, **fixed) for _ in range(2))
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) == ("2.25.1", "2.25.2")
    assert first.ContentSequence == again.ContentSequence


def test_it_says_when_it_was_said(series):
    written = write_findings(SAID, series, provenance=CORRECTED)
    said = datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    state_content_time(written, said)
    assert read_findings(written).made == said


def test_a_volume_s_findings_name_every_slice(assert_conforms):
    grid = make_grid()
    series = read_series(single_frames(grid, make_array(grid.shape)))
    written = write_findings(BY_HAND, series, provenance=MANUAL)
    assert_conforms(written)
    assert set(read_findings(written).source_instance_uids) == set(series.instance_uids)


POINT, BOX = (4, 7, 2), ((2, 9), (0, 5), (3, 4))
"""A voxel and a box, one slice thick and at an edge, of an image of 13×11×7 voxels."""


@pytest.mark.parametrize("place", [POINT, BOX, ((0, 13), (0, 11), (0, 7))], ids=["a voxel", "a box", "all of it"])
@pytest.mark.parametrize("build", [single_frames, enhanced])
@pytest.mark.parametrize("said", [SAID, BY_HAND], ids=["after a model", "by hand"])
def test_the_place_of_a_finding_of_a_volume_comes_back_and_conforms(assert_conforms, place, build, said):
    grid = make_grid()
    made = build(grid, make_array(grid.shape))
    series = read_series(made if isinstance(made, list) else [made])
    written = write_findings(said, series, provenance=CORRECTED if said is SAID else MANUAL, place=place)
    assert_conforms(written)
    document = read_findings(written)
    assert document.place.on(grid) == place
    assert document.findings == said
    assert set(document.source_instance_uids) == set(series.instance_uids)
    assert written.SOPClassUID == Comprehensive3DSRStorage


def test_a_voxel_is_a_point_in_the_patient_and_a_box_is_its_first_and_last_face(series):
    grid = make_grid()
    made = single_frames(grid, make_array(grid.shape))
    volume = read_series(made)
    point = write_findings(SAID[:1], volume, provenance=CORRECTED, place=POINT)
    (item,) = items(point, "111030")
    assert (item.ValueType, item.GraphicType) == ("SCOORD3D", "POINT")
    np.testing.assert_allclose(item.GraphicData, (grid.affine_lps @ [*POINT, 1])[:3], atol=1e-3)
    assert item.ReferencedFrameOfReferenceUID == made[0].FrameOfReferenceUID
    assert "Judged at " in read_findings(point).text

    faces = items(write_findings(SAID[:1], volume, provenance=CORRECTED, place=BOX), "121231")
    assert {face.GraphicType for face in faces} == {"POLYGON"}
    for face, k in zip(faces, (2.5, 3.5), strict=True):
        corners = [(1.5, -0.5, k), (8.5, -0.5, k), (8.5, 4.5, k), (1.5, 4.5, k), (1.5, -0.5, k)]
        expected = [(grid.affine_lps @ [*corner, 1])[:3] for corner in corners]
        np.testing.assert_allclose(np.reshape(face.GraphicData, (-1, 3)), expected, atol=1e-3)


@pytest.mark.parametrize("place", [(5, 3, 0), ((1, 4), (2, 3), (0, 1))], ids=["a pixel", "a box"])
def test_the_place_of_a_finding_of_a_radiograph_is_one_of_its_pixels(assert_conforms, series, place):
    written = write_findings(BY_HAND, series, provenance=MANUAL, place=place)
    assert_conforms(written)
    assert {item.ValueType for item in items(written, "111030")} == {"SCOORD"}
    document = read_findings(written)
    assert document.place.on(series.volume.grid) == place
    assert document.findings == BY_HAND


def test_the_same_finding_at_two_places_is_two_things_to_follow(series):
    here, again, there = (
        write_findings(BY_HAND[:1], series, provenance=MANUAL, place=place)
        for place in ((5, 3, 0), (5, 3, 0), (5, 4, 0))
    )
    uids = [items(one, "112040")[0].UID for one in (here, again, there)]
    assert uids[0] == uids[1] != uids[2]


def test_a_place_off_its_image_is_refused(series):
    document = read_findings(write_findings(BY_HAND, series, provenance=MANUAL, place=(99, 3, 0)))
    with pytest.raises(InvalidInputError, match="must be on its image"):
        document.place.on(series.volume.grid)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((0, 0, 0), "at R 31.5, P 17.3, I 101.1 mm"),
        (((0, 2), (0, 1), (0, 1)), "between R 31.5, P 17.3, I 101.1 mm and R 30.5, P 17.3, I 101.1 mm"),
    ],
)
def test_a_place_is_told_in_the_patient_s_directions(place, said):
    grid = Grid((4, 4, 4), lps_to_ras(np.array([[1, 0, 0, -31.5], [0, 1, 0, 17.3], [0, 0, 1, -101.1], [0, 0, 0, 1]])))
    assert place_text(place, grid, in_patient=True) == said
    assert place_text((3, 2, 0), grid, in_patient=False) == "at column 3, row 2"


def test_a_radiograph_with_a_poor_header_costs_nobody_the_document(assert_conforms):
    poor = radiograph(np.zeros((4, 4)))
    poor.FrameOfReferenceUID, poor.SeriesNumber = "2.25.7", -5000
    del poor.ImagerPixelSpacing, poor.AccessionNumber, poor.ReferringPhysicianName, poor.PatientBirthDate
    written = write_findings(BY_HAND, read_series([poor]), provenance=MANUAL)
    assert_conforms(written)
    assert read_findings(written).findings == BY_HAND
    assert items(written, "111028") == []


def test_a_radiograph_that_says_how_it_lies_is_described_in_the_image_library(assert_conforms):
    rich = radiograph(np.zeros((4, 4)))
    rich.PatientOrientation = ["L", "F"]
    written = write_findings(BY_HAND, read_series([rich]), provenance=MANUAL)
    assert_conforms(written)
    (library,) = items(written, "111028")
    (image,) = items(library, "260753009")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == rich.SOPInstanceUID


@pytest.mark.parametrize("change", ["Manufacturer", "SOPClassUID", "SeriesDescription"])
def test_another_maker_s_document_is_refused(series, change):
    foreign = write_findings(SAID, series, provenance=CORRECTED)
    setattr(foreign, change, str(ComprehensiveSRStorage) if change == "SOPClassUID" else "other")
    with pytest.raises(DicomError, match="that carina wrote"):
        read_findings(foreign)


def test_what_is_no_report_of_findings_is_refused(tmp_path, series):
    grid = make_grid()
    volume = read_series(single_frames(grid, make_array(grid.shape)))
    seg = write_seg(
        Volume(np.ones(grid.shape, np.uint8), volume.volume.grid), volume, labels=label_set("liver"), provenance=MANUAL
    )
    assert made_by_carina(seg)
    with pytest.raises(DicomError, match="that carina wrote"):
        read_findings(seg)
    (tmp_path / "text.dcm").write_text("no DICOM at all")
    with pytest.raises(DicomError, match="must be readable DICOM"):
        read_findings(tmp_path / "text.dcm")


def test_a_damaged_document_is_refused_with_a_reason(series):
    whole = write_findings(SAID, series, provenance=CORRECTED)
    answered = copy.deepcopy(whole)
    items(answered, "121052")[0].ConceptCodeSequence[0].CodeValue = "1"
    with pytest.raises(DicomError, match="known code"):
        read_findings(answered)
    empty = copy.deepcopy(whole)
    del empty.ContentSequence
    with pytest.raises(DicomError, match="complete and valid"):
        read_findings(empty)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"probability": 0.5}, "both probability and state"),
        ({"probability": 1.5, "state": "positive"}, "lie in 0…1"),
        ({"probability": 0.5, "state": "maybe"}, "must be one of"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(DicomError, match=said):
        finding("mass", True, **wrong)


def test_a_report_of_nothing_is_refused(series):
    with pytest.raises(DicomError, match="at least one finding"):
        write_findings([], series, provenance=MANUAL)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jürg"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_of_every_script_come_over_whole(tmp_path, character_set, name):
    image = radiograph(np.zeros((4, 4)))
    image.SpecificCharacterSet, image.PatientName = character_set, name
    (tmp_path / "image").mkdir()
    image.save_as(tmp_path / "image" / "0.dcm", enforce_file_format=True)
    series = read_series(tmp_path / "image")
    label = Volume(np.zeros(series.volume.grid.shape, np.uint8), series.volume.grid)
    written = {
        "sr": write_findings(BY_HAND, series, provenance=MANUAL),
        "seg": write_seg(label, series, labels=label_set("lung_left"), provenance=MANUAL),
    }
    for kind, document in written.items():
        document.save_as(tmp_path / kind, enforce_file_format=True)
        assert str(pydicom.dcmread(tmp_path / kind).PatientName) == name


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("10", (10, 0, 0, 0)),
        ("1015", (10, 15, 0, 0)),
        ("101530", (10, 15, 30, 0)),
        ("101530.25", (10, 15, 30, 250_000)),
    ],
)
def test_a_time_may_leave_out_its_minutes_and_seconds(clock, expected):
    dataset = Dataset()
    dataset.ContentDate, dataset.ContentTime, dataset.TimezoneOffsetFromUTC = "20240102", clock, "+0900"
    tokyo = timezone(timedelta(hours=9))
    assert read_content_time(dataset).astimezone(tokyo) == datetime(2024, 1, 2, *expected, tzinfo=tokyo)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("day", "clock"), [("", ""), ("20240102", ""), ("20240102", "noon"), ("20240102", "101"), ("20240231", "10")]
)
def test_a_time_that_is_none_is_not_guessed(day, clock):
    dataset = Dataset()
    dataset.ContentDate, dataset.ContentTime = day, clock
    assert read_content_time(dataset) is None
