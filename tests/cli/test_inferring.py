from __future__ import annotations

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from carina.dicom.seg import read_seg
from carina.dicom.series import read_series
from carina.images import read_label, write_image
from carina.label_maps import mask_of
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.settings import Settings
from tests.dicom.builder import radiograph
from tests.small_disk import room_for


@pytest.fixture
def series(phantoms):
    return phantoms / "images" / "phantom-007"


def test_a_label_map_has_the_images_grid(carina, series, untrained_model, tmp_path):
    out = tmp_path / "draft.nii.gz"

    ran = carina("infer", "thorax_ct", "--image", series, "--out", out, "--device", "cpu", "--json")

    grid = read_series(series).volume.grid
    assert ran.exit_code == 0, ran.stderr
    assert ran.json["model_version"] == untrained_model
    assert nib.load(out).shape == grid.shape
    np.testing.assert_allclose(nib.load(out).affine, grid.affine_ras, atol=1e-4)
    voxels = np.asarray(nib.load(out).dataobj)
    np.testing.assert_allclose(
        ran.json["volumes_ml"]["heart"], np.count_nonzero(voxels == 3) * grid.voxel_volume_ml, atol=1e-3
    )


def test_a_dicom_seg_holds_the_same_voxels_as_the_label_map(carina, series, untrained_model, tmp_path):
    nifti, seg = tmp_path / "draft.nii.gz", tmp_path / "draft.dcm"

    carina("infer", "thorax_ct", "--image", series, "--out", nifti, "--device", "cpu")
    carina("infer", "thorax_ct", "--image", series, "--out", seg, "--device", "cpu")

    source = read_series(series)
    read = read_seg(seg, labels=find_tasks().get("thorax_ct").labels, grid=source.volume.grid)
    np.testing.assert_array_equal(read.label.array, read_label(nifti)[0].array)
    dataset = pydicom.dcmread(seg)
    assert dataset.Modality == "SEG"
    assert dataset.StudyInstanceUID == source.study_instance_uid


def test_a_full_disk_leaves_the_seg_that_was_there(carina, series, untrained_model, tmp_path):
    seg = tmp_path / "draft.dcm"
    carina("infer", "thorax_ct", "--image", series, "--out", seg, "--device", "cpu")
    before = seg.read_bytes()

    with room_for(1024):
        ran = carina("infer", "thorax_ct", "--image", series, "--out", seg, "--device", "cpu", "--json")

    assert ran.exit_code == 1
    assert "draft.dcm must be written whole" in ran.json["detail"]
    assert seg.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["draft.dcm"]


def test_a_picture_is_written_as_png(carina, series, untrained_model, tmp_path):
    out = tmp_path / "look.png"

    ran = carina("infer", "thorax_ct", "--image", series, "--out", out, "--device", "cpu")

    assert ran.exit_code == 0, ran.stderr
    with Image.open(out) as picture:
        assert picture.width > 900


def test_an_image_of_a_store_is_found_by_its_id(carina, phantoms, series, untrained_model, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    image_id = carina("import", series, "--store", store, "--json").json["images"][0]

    ran = carina(
        "infer", "thorax_ct", "--image", image_id, "--store", store, "--out", tmp_path / "a.nii.gz", "--json"
    )  # fmt: skip

    assert ran.exit_code == 0, ran.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--image", "nowhere.nii.gz", "--out", "a.nii.gz"], "InvalidInputError", "no such file"),
        (["--image", "{series}", "--out", "a.jpg"], "InvalidInputError", "--out must end in"),
        (["--image", "{nifti}", "--out", "a.dcm"], "InvalidInputError", "must refer to a DICOM series"),
        (["--image", "{series}", "--out", "a.nii.gz", "--overlap", "1.5"], "InvalidInputError", "--overlap"),
        (["--image", "{series}", "--out", "a.nii.gz", "--version", "v9"], "UnknownModelError", "v9"),
        (["--image", "{series}", "--out", "a.nii.gz", "--device", "tpu"], "InvalidInputError", "device"),
    ],
)
def test_what_cannot_work_is_said_in_words(carina, series, untrained_model, tmp_path, arguments, error, words):
    nifti = tmp_path / "image.nii.gz"
    write_image(nifti, read_series(series).volume)
    filled = [argument.format(series=series, nifti=nifti) for argument in arguments]
    filled[3] = str(tmp_path / filled[3])

    ran = carina("infer", "thorax_ct", *filled, "--json")

    assert ran.exit_code == 1
    assert ran.json["error"] == error
    assert words in ran.json["detail"]
    assert not (tmp_path / "a.nii.gz").exists()


def test_a_task_without_a_model_says_how_to_get_one(carina, series, tmp_path):
    ran = carina("infer", "thorax_ct", "--image", series, "--out", tmp_path / "a.nii.gz", "--json")

    assert ran.json["error"] == "NoModelError"
    assert "carina train thorax_ct" in ran.json["detail"]


@pytest.fixture
def radiograph_model(carina_home):
    """A served version of cxr_anatomy with random weights."""
    spec = find_tasks().get("cxr_anatomy")
    torch.manual_seed(0)
    models = ModelStore(Settings().models_dir)
    version = models.add(
        spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    models.promote(spec.name, version.version, reason="test")


def test_labels_that_overlap_become_masks_and_segments_of_the_same_pixels(carina, radiograph_model, tmp_path):
    source, spec = tmp_path / "dx.dcm", find_tasks().get("cxr_anatomy")
    pixels = np.random.default_rng(0).integers(0, 4096, (50, 61))
    radiograph(pixels).save_as(source, enforce_file_format=True)

    for out in ("masks", "draft.dcm", "look.png"):
        ran = carina("infer", spec.name, "--image", source, "--out", tmp_path / out, "--device", "cpu", "--json")
        assert ran.exit_code == 0, ran.stderr

    grid = read_series(source).volume.grid
    label = read_seg(tmp_path / "draft.dcm", labels=spec.labels, grid=grid).label
    assert label.array.any()
    assert "Area (cm²)" in ran.stderr
    across, down = radiograph(pixels).ImagerPixelSpacing
    for entry in spec.labels:
        drawn = mask_of(label.array, entry, spec.labels).sum()
        assert ran.json["areas_cm2"][entry.name] == pytest.approx(drawn * across * down / 100, abs=1e-3)
        with Image.open(tmp_path / "masks" / f"{entry.name}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask).T > 0, mask_of(label.array[:, :, 0], entry, spec.labels))


def test_a_structure_of_a_picture_without_pixel_size_is_told_as_a_share_of_it(carina, radiograph_model, tmp_path):
    source = tmp_path / "chest.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 61), dtype=np.uint8)).save(source)
    ran = carina("infer", "cxr_anatomy", "--image", source, "--out", tmp_path / "masks", "--device", "cpu", "--json")
    assert ran.exit_code == 0, ran.stderr
    assert "Area (% of the image)" in ran.stderr
    for name, share in ran.json["areas_percent"].items():
        with Image.open(tmp_path / "masks" / f"{name}.png") as mask:
            assert share == pytest.approx(100 * (np.asarray(mask) > 0).mean(), abs=1e-3)


def test_a_label_map_is_refused_where_labels_overlap(carina, radiograph_model, tmp_path):
    ran = carina("infer", "cxr_anatomy", "--image", tmp_path, "--out", tmp_path / "draft.nii.gz")

    assert ran.exit_code != 0
    assert "overlap" in ran.stderr
