from __future__ import annotations

import json
import warnings

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

from carina.dicom.seg import ObjectReference, Provenance, read_seg, write_seg
from carina.dicom.series import read_series
from carina.errors import DicomError, GeometryError, LabelError
from carina.geometry import Grid, Volume, resample_label
from carina.labels import Code, Label
from carina.structures import STRUCTURES, TOTALSEGMENTATOR_V1, label_set

from .builder import enhanced, make_array, make_grid, radiograph, save, single_frames

LABELS = label_set(*TOTALSEGMENTATOR_V1)
SUBSETS = {"one": (5,), "sparse": (5, 52), "all": tuple(range(1, 105)), "none": ()}
DRAFT = Provenance(algorithm_type="AUTOMATIC", task="wholebody_ct", model_version="v7", model_sha256="ab" * 32)


def make_series(name="oblique", *, shape=(13, 11, 7), flips=(False, False), spacing_mm=(0.8, 1.1, 2.5)):
    grid = make_grid(name, shape=shape, flips=flips, spacing_mm=spacing_mm)
    return read_series(single_frames(grid, make_array(grid.shape)))


def make_label(grid, indices, *, seed=0):
    """Every index of the subset occurs; the first and the last slice are empty, where there are several."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    inner = array[:, :, 1:-1] if grid.shape[2] > 2 else array
    values = np.random.default_rng(seed).choice([0, *indices], inner.shape)
    places = np.random.default_rng(seed + 1).permutation(inner.size)[: len(indices)]
    values.flat[places] = indices
    inner[...] = values
    return Volume(array, grid)


def read_with_highdicom(dataset, series, path):
    """`(X, Y, Z)` label indices by highdicom's reader, through the source instances and the segment labels."""
    dataset.save_as(path, enforce_file_format=True)
    segmentation = hd.seg.segread(path)
    stack = segmentation.get_pixels_by_source_instance(
        list(series.instance_uids), combine_segments=True, assert_missing_frames_are_empty=True
    )
    lookup = np.zeros(max(segmentation.segment_numbers) + 1, dtype=np.uint8)
    for number in segmentation.segment_numbers:
        lookup[number] = LABELS.named(segmentation.get_segment_description(number).segment_label).index
    return lookup[stack].transpose(2, 1, 0)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal", "oblique"])
def test_a_label_map_comes_back_voxel_for_voxel(tmp_path, assert_conforms, name, flips, subset):
    series = make_series(name, shape=(13, 11, 5), flips=flips)
    label = make_label(series.volume.grid, SUBSETS[subset])

    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)

    np.testing.assert_array_equal(read_with_highdicom(dataset, series, tmp_path / "seg.dcm"), label.array)
    result = read_seg(tmp_path / "seg.dcm", labels=LABELS, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert result.label.grid.matches(label.grid, tolerance_mm=1e-6)
    assert_conforms(tmp_path / "seg.dcm")


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("kind", ["enhanced", "one slice", "one of many slices"])
def test_other_sources_give_the_same_voxels_and_conform(assert_conforms, kind, subset):
    grid = make_grid(shape=(13, 11, 1 if kind == "one slice" else 7))
    array = make_array(grid.shape)
    source = [enhanced(grid, array, frame_order=[4, 0, 6, 2, 5, 1, 3])] if kind == "enhanced" else None
    series = read_series(source or single_frames(grid, array))
    label = make_label(series.volume.grid, SUBSETS[subset])
    if kind == "one of many slices":
        label.array[:, :, 4:] = 0
        label.array[:, :, :3] = 0
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    result = read_seg(dataset, labels=LABELS, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert_conforms(dataset)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("kind", ["single-frame", "enhanced"])
def test_labelmap_objects_come_back_voxel_for_voxel(tmp_path, kind, subset):
    """dciodvfy of 2022 does not know Label Map Segmentation Storage, so highdicom's reader is the only reference."""
    grid = make_grid()
    array = make_array(grid.shape)
    source = single_frames(grid, array) if kind == "single-frame" else [enhanced(grid, array)]
    series = read_series(source)
    label = make_label(series.volume.grid, SUBSETS[subset])
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT, segmentation_type="LABELMAP")
    result = read_seg(dataset, labels=LABELS, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert result.provenance == DRAFT
    dataset.save_as(tmp_path / "seg.dcm")
    segmentation = hd.seg.segread(tmp_path / "seg.dcm")
    assert segmentation.segmentation_type == hd.seg.SegmentationTypeValues.LABELMAP
    described = {segment.segment_label for segment in segmentation.SegmentSequence[1:]} if subset == "none" else None
    assert described in (None, set(LABELS.names))


def test_segments_are_numbered_without_gaps_and_keep_name_and_codes():
    series = make_series()
    label = make_label(series.volume.grid, (5, 7, 41))
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    assert [segment.SegmentNumber for segment in dataset.SegmentSequence] == [1, 2, 3]
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["liver", "aorta", "vertebrae_C1"]
    assert dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert read_seg(dataset, labels=LABELS).names == {"liver": 5, "aorta": 7, "vertebrae_C1": 41}


def test_the_shuffled_order_of_source_files_does_not_matter(tmp_path):
    grid = make_grid()
    folder = save(single_frames(grid, make_array(grid.shape)), tmp_path / "s", order=[4, 0, 6, 2, 5, 1, 3])
    series = read_series(folder)
    label = make_label(series.volume.grid, (5, 52))
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    np.testing.assert_array_equal(read_with_highdicom(dataset, series, tmp_path / "seg.dcm"), label.array)


def test_frames_without_voxels_are_left_out():
    series = make_series()
    label = make_label(series.volume.grid, ())
    label.array[3, 3, 2] = 5
    label.array[5, 5, 4] = 7
    assert write_seg(label, series, labels=LABELS, provenance=DRAFT).NumberOfFrames == 2


def test_an_empty_label_map_is_one_frame_that_describes_what_was_looked_for():
    series = make_series()
    labels = label_set("lung_left", "lung_right", "nodule")
    dataset = write_seg(make_label(series.volume.grid, ()), series, labels=labels, provenance=DRAFT)
    result = read_seg(dataset, labels=labels, grid=series.volume.grid)
    assert dataset.NumberOfFrames == 1
    assert not result.label.array.any()
    assert set(result.names) == set(labels.names)
    assert len(dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 7


def test_without_a_grid_the_label_map_spans_the_slices_that_have_frames():
    series = make_series()
    label = make_label(series.volume.grid, (5, 52))
    result = read_seg(write_seg(label, series, labels=LABELS, provenance=DRAFT))
    assert result.label.grid.shape == (13, 11, 5)
    assert result.names == {"liver": 1, "iliac_artery_right": 2}
    back = resample_label(result.label, grid=series.volume.grid)
    np.testing.assert_array_equal(back.array > 0, label.array > 0)


def test_a_label_with_flipped_axes_lands_on_the_series_grid():
    series = make_series()
    label = make_label(series.volume.grid, (5, 52))
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = [12, 6]
    other = Volume(label.array[::-1, :, ::-1], Grid(label.grid.shape, label.grid.affine_ras @ flip))
    dataset = write_seg(other, series, labels=LABELS, provenance=DRAFT)
    np.testing.assert_array_equal(read_seg(dataset, labels=LABELS, grid=series.volume.grid).label.array, label.array)


def test_writing_does_not_change_the_series():
    series = make_series()
    before = [dataset.to_json() for dataset in series.datasets]
    write_seg(make_label(series.volume.grid, (5,)), series, labels=LABELS, provenance=DRAFT)
    assert [dataset.to_json() for dataset in series.datasets] == before


def test_a_label_that_does_not_overlap_is_refused():
    series = make_series()
    far = series.volume.grid.affine_ras.copy()
    far[:3, 3] += 5000
    label = Volume(make_label(series.volume.grid, (5,)).array, Grid(series.volume.grid.shape, far))
    with pytest.raises(GeometryError, match="overlap"):
        write_seg(label, series, labels=LABELS, provenance=DRAFT)


def test_an_index_without_a_label_is_refused():
    series = make_series()
    with pytest.raises(LabelError, match=r"got \[4\]"):
        write_seg(make_label(series.volume.grid, (1, 4)), series, labels=label_set("liver", "aorta"), provenance=DRAFT)


@pytest.mark.parametrize(
    "provenance",
    [
        DRAFT,
        Provenance(algorithm_type="SEMIAUTOMATIC", task="thorax_ct", model_version="3", user="Müller^Jürgen"),
        Provenance(algorithm_type="MANUAL", task="thorax_ct", user="jane"),
    ],
    ids=lambda provenance: provenance.algorithm_type,
)
def test_provenance_and_predecessor_come_back_and_conform(tmp_path, assert_conforms, provenance):
    series = make_series()
    predecessor = ObjectReference(sop_instance_uid="1.2.826.1.1", series_instance_uid="1.2.826.1")
    dataset = write_seg(
        make_label(series.volume.grid, (5,)),
        series,
        labels=LABELS,
        provenance=provenance,
        sop_instance_uid="1.2.826.2.2",
        series_instance_uid="1.2.826.2",
        predecessor=predecessor,
    )
    dataset.save_as(tmp_path / "seg.dcm")
    result = read_seg(tmp_path / "seg.dcm", labels=LABELS)
    assert result.provenance == provenance
    assert result.predecessor == predecessor
    assert (result.sop_instance_uid, result.series_instance_uid) == ("1.2.826.2.2", "1.2.826.2")
    assert result.source_series_instance_uid == series.series_instance_uid
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.SegmentSequence[0].SegmentAlgorithmType == provenance.algorithm_type
    assert written.PatientName == "Jürgen^Test"
    assert_conforms(dataset)


def test_an_unknown_algorithm_type_is_refused():
    with pytest.raises(DicomError, match="AUTOMATIC, SEMIAUTOMATIC, MANUAL"):
        Provenance(algorithm_type="auto", task="x")


def test_a_foreign_object_is_recognised_by_code_and_side():
    series = make_series()
    labels = label_set("lung_left", "lung_right", "kidney_cyst_left", "kidney_cyst_right")
    label = make_label(series.volume.grid, (1, 2, 3, 4))
    dataset = write_seg(label, series, labels=labels, provenance=DRAFT)
    for number, segment in enumerate(dataset.SegmentSequence):
        segment.SegmentLabel = f"Segment_{number + 1}"
    dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "T-28000"
    dataset.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator = "SRT"
    wanted = label_set("lung_right", "kidney_cyst_right", "lung_left", "kidney_cyst_left")
    result = read_seg(dataset, labels=wanted, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, np.array([0, 3, 1, 4, 2])[label.array])
    assert read_seg(dataset).names == {name: number for number, name in enumerate(labels.names, start=1)}


@pytest.mark.parametrize("drawn", [(1, 5), (0, 2, 4, 6), (3,), (0, 1, 2, 3, 4, 5, 6)])
@pytest.mark.parametrize("name", ["axial", "oblique"])
def test_slices_that_a_foreign_object_has_no_frame_of_stay_empty(name, drawn):
    series = make_series(name)
    array = np.zeros(series.volume.grid.shape, dtype=np.uint8)
    array[3:8, 2:6, list(drawn)] = 5
    dataset = write_seg(Volume(array, series.volume.grid), series, labels=LABELS, provenance=DRAFT)
    del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices  # as others write it
    read = read_seg(dataset, labels=LABELS, grid=series.volume.grid)
    np.testing.assert_array_equal(read.label.array, array)


def test_an_object_without_dimensions_is_refused():
    series = make_series()
    dataset = write_seg(make_label(series.volume.grid, (5,)), series, labels=LABELS, provenance=DRAFT)
    del dataset.DimensionIndexSequence
    with pytest.raises(DicomError, match="complete and valid"):
        read_seg(dataset, labels=LABELS, grid=series.volume.grid)


def test_a_known_name_with_another_code_is_not_believed():
    series = make_series()
    dataset = write_seg(make_label(series.volume.grid, (5, 7)), series, labels=LABELS, provenance=DRAFT)
    dataset.SegmentSequence[0].SegmentLabel = "aorta"
    dataset.SegmentSequence[1].SegmentLabel = "liver"
    assert read_seg(dataset).names == {"liver": 1, "aorta": 2}


def test_segments_that_are_not_asked_for_are_named_and_left_out():
    series = make_series()
    label = make_label(series.volume.grid, (5, 7))
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    result = read_seg(dataset, labels=label_set("aorta"), grid=series.volume.grid)
    assert result.unrecognised == ("liver",)
    np.testing.assert_array_equal(result.label.array, label.array == 7)


def test_a_label_outside_the_catalogue_keeps_its_own_code():
    series = make_series()
    known = STRUCTURES["liver"]
    own = Label(
        name="ground_glass_opacities",
        index=1,
        category=known.category,
        type=Code("1", "99TEST", "Ground glass"),
        modifier=known.modifier,
    )
    dataset = write_seg(make_label(series.volume.grid, (1,)), series, labels=[own], provenance=DRAFT)
    assert read_seg(dataset).names == {"ground_glass_opacities": 1}


def test_overlapping_segments_are_refused_by_labels_that_exclude_each_other():
    series = make_series()
    masks = np.zeros((7, 11, 13, 2), dtype=np.uint8)
    masks[3, 2:6, 2:6, 0] = masks[3, 4:8, 4:8, 1] = 1
    ours = write_seg(make_label(series.volume.grid, (5, 7)), series, labels=LABELS, provenance=DRAFT)
    foreign = hd.seg.Segmentation(
        list(series.datasets),
        masks,
        "BINARY",
        [hd.seg.SegmentDescription.from_dataset(segment) for segment in ours.SegmentSequence],
        hd.UID(),
        1,
        hd.UID(),
        1,
        "m",
        "m",
        "1",
        "1",
    )
    with pytest.raises(DicomError, match="must not overlap"):
        read_seg(foreign, labels=LABELS)
    foreign.SegmentsOverlap = "UNDEFINED"
    with pytest.raises(DicomError, match="must not overlap"):
        read_seg(foreign)


def test_a_tilt_corrected_series_can_be_segmented(assert_conforms):
    grid = make_grid("axial")
    datasets = single_frames(grid, make_array(grid.shape))
    for number, dataset in enumerate(datasets):
        x, y, z = (float(value) for value in dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, round(y + 0.7 * number, 6), z]
    series = read_series(datasets, correct_tilt=True)
    for indices in ((5, 52), ()):
        label = make_label(series.volume.grid, indices)
        dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
        result = read_seg(dataset, labels=LABELS, grid=series.volume.grid)
        np.testing.assert_array_equal(result.label.array, label.array)
        assert_conforms(dataset)


@pytest.mark.parametrize("reference", [None, "2.25.7", ""], ids=["no reference", "reference", "empty reference"])
@pytest.mark.parametrize("indices", [(1, 2), ()], ids=["two", "none"])
def test_a_radiograph_can_be_segmented(assert_conforms, indices, reference):
    image = radiograph(np.zeros((11, 13)))
    if reference is not None:  # without a position it says nothing
        image.FrameOfReferenceUID = reference
    series = read_series([image])
    labels = label_set("lung_left", "lung_right")
    label = make_label(series.volume.grid, indices)
    dataset = write_seg(label, series, labels=labels, provenance=DRAFT)
    result = read_seg(dataset, labels=labels, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert_conforms(dataset)
    with pytest.raises(GeometryError, match="image's size"):
        read_seg(dataset, labels=labels, grid=make_grid(shape=(5, 5, 1)))


OVERLAPPING = label_set("lung_left", "lung_right", "cardiomediastinum", "airways", overlapping=True)


@pytest.mark.parametrize("bits", [(0b0101, 0b1101, 0b0010), ()], ids=["overlapping", "none"])
def test_overlapping_segments_of_a_radiograph_come_back_whole(assert_conforms, bits):
    series = read_series([radiograph(np.zeros((11, 13)))])
    label = make_label(series.volume.grid, bits)
    dataset = write_seg(label, series, labels=OVERLAPPING, provenance=DRAFT)
    result = read_seg(dataset, labels=OVERLAPPING, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == list(OVERLAPPING.names)
    assert_conforms(dataset)
    if bits:
        unasked = read_seg(dataset, grid=series.volume.grid)
        assert unasked.names == OVERLAPPING.values
        np.testing.assert_array_equal(unasked.label.array, label.array)


def test_overlapping_segments_of_a_volume_come_back_whole():
    grid = make_grid()
    series = read_series(single_frames(grid, make_array(grid.shape)))
    label = make_label(series.volume.grid, (0b0001, 0b1001, 0b1000))
    dataset = write_seg(label, series, labels=OVERLAPPING, provenance=DRAFT)
    result = read_seg(dataset, labels=OVERLAPPING, grid=series.volume.grid)
    np.testing.assert_array_equal(result.label.array, label.array)
    assert set(result.names) == {"lung_left", "airways"}
    with pytest.raises(LabelError, match="BINARY"):
        write_seg(label, series, labels=OVERLAPPING, provenance=DRAFT, segmentation_type="LABELMAP")


def test_headers_without_required_attributes_and_frame_of_reference_do(assert_conforms):
    grid = make_grid()
    datasets = single_frames(grid, make_array(grid.shape))
    for dataset in datasets:
        for keyword in ("PatientID", "AccessionNumber", "StudyID", "FrameOfReferenceUID", "SliceThickness"):
            delattr(dataset, keyword)
    series = read_series(datasets)
    label = make_label(series.volume.grid, (5,))
    dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    np.testing.assert_array_equal(read_seg(dataset, labels=LABELS, grid=series.volume.grid).label.array, label.array)
    assert_conforms(dataset)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "male"),
        ("PatientBirthDate", "unknown"),
        ("StudyTime", "10:11:12"),
        ("SeriesNumber", "abc"),
        ("SeriesNumber", "-5000"),
        ("SeriesNumber", "2147483647"),
        ("SliceThickness", "thin"),
        ("PatientAge", "45"),
        ("PatientName", "PHANTOM"),
    ],
)
def test_a_malformed_header_costs_no_label(keyword, value):
    grid = make_grid()
    datasets = single_frames(grid, make_array(grid.shape))
    tag = Tag(tag_for_keyword(keyword))
    for dataset in datasets:
        dataset._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value.encode(), 0, False, True, True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Invalid value for VR", UserWarning)
        series = read_series(datasets)
        label = make_label(series.volume.grid, (5,))
        dataset = write_seg(label, series, labels=LABELS, provenance=DRAFT)
    np.testing.assert_array_equal(read_seg(dataset, labels=LABELS, grid=series.volume.grid).label.array, label.array)
    assert keyword != "PatientName" or dataset.PatientName == value
    assert 1 <= int(dataset.SeriesNumber) < 2**31


def test_what_is_not_a_seg_object_is_refused(tmp_path):
    grid = make_grid()
    image = single_frames(grid, make_array(grid.shape))[0]
    with pytest.raises(DicomError, match="must be a SEG object"):
        read_seg(image)
    path = tmp_path / "seg.dcm"
    path.write_bytes(b"nothing")
    with pytest.raises(DicomError, match="readable DICOM"):
        read_seg(path)


def test_the_real_labels_with_flipped_axes_lose_no_voxel(test_data, assert_conforms):
    folder = test_data / "ct_abdomen_jpeg2000"
    series = read_series(folder / "dicom")
    image = nib.load(folder / "labels.nii.gz")
    names = {int(value): name for name, value in _label_values(folder).items()}
    labels = label_set(*(names[value] for value in sorted(names)))
    lookup = np.zeros(max(names) + 1, dtype=np.uint8)
    for value, name in names.items():
        lookup[value] = labels.named(name).index
    label = Volume(lookup[np.asarray(image.dataobj).astype(int)], Grid(image.shape, image.affine))
    assert not label.grid.matches(series.volume.grid)

    dataset = write_seg(label, series, labels=labels, provenance=DRAFT)

    assert dataset.SOPClassUID == SegmentationStorage
    result = read_seg(dataset, labels=labels, grid=series.volume.grid)
    assert np.count_nonzero(result.label.array) == 739_420
    canonical = nib.as_closest_canonical(nib.Nifti1Image(label.array, image.affine)).get_fdata()
    ours = nib.as_closest_canonical(nib.Nifti1Image(result.label.array, result.label.grid.affine_ras)).get_fdata()
    np.testing.assert_array_equal(ours, canonical)
    assert_conforms(dataset)


def _label_values(folder):
    values = json.loads((folder / "labels.json").read_text())
    return values.get("labels", values)
