"""Image files against independent readers and writers: SimpleITK, pynrrd and Pillow."""

from __future__ import annotations

import errno
import gzip
import os
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy.spatial.transform import Rotation

from carina.errors import CarinaError, GeometryError, InvalidInputError, LabelError, StorageError
from carina.geometry import Grid, Volume
from carina.images import (
    as_label_array,
    read_label,
    read_volume,
    write_atomically,
    write_image,
    write_label,
)

VOLUME_SUFFIXES = [".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha"]


def _oblique_grid(shape: tuple[int, int, int] = (5, 6, 7)) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -30, 40], degrees=True).as_matrix() * (0.7, 1.3, 2.5)
    affine[:3, 3] = (-31.25, 12.5, 100.0)
    return Grid(shape, affine)


def _label(highest: int) -> Volume:
    grid = _oblique_grid()
    array = np.random.default_rng(0).integers(0, highest + 1, grid.shape)
    array[0, 0, 0] = highest
    return Volume(array, grid)


def _affine_lps_by_itk(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
@pytest.mark.parametrize(("highest", "dtype"), [(104, np.uint8), (255, np.uint8), (256, np.uint16)])
def test_writes_labels_that_simpleitk_reads_on_the_same_grid(
    tmp_path: Path, suffix: str, highest: int, dtype: type
) -> None:
    label, path = _label(highest), tmp_path / f"label{suffix}"
    write_label(path, label)
    by_itk = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).transpose()
    assert by_itk.dtype == dtype
    np.testing.assert_array_equal(by_itk, label.array)
    np.testing.assert_allclose(_affine_lps_by_itk(path), label.grid.affine_lps, atol=1e-5)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_reads_images_that_simpleitk_wrote_on_the_same_grid(tmp_path: Path, suffix: str, dtype: type) -> None:
    grid, path = _oblique_grid(), tmp_path / f"image{suffix}"
    expected = np.random.default_rng(1).integers(0, 3000, grid.shape).astype(dtype)
    image = sitk.GetImageFromArray(expected.transpose())
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((grid.affine_lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    image.SetOrigin(grid.affine_lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
    volume = read_volume(path)
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.array, expected)
    assert volume.grid.matches(grid, tolerance_mm=1e-4)


@pytest.mark.parametrize("suffix", VOLUME_SUFFIXES)
def test_an_image_comes_back_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    grid = _oblique_grid()
    image = Volume(np.random.default_rng(2).normal(size=grid.shape).astype(np.float32), grid)
    write_image(tmp_path / f"image{suffix}", image)
    back = read_volume(tmp_path / f"image{suffix}")
    np.testing.assert_array_equal(back.array, image.array)
    np.testing.assert_allclose(back.grid.affine_ras, grid.affine_ras, atol=1e-5)


def test_applies_the_rescaling_of_a_nifti_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nib.save(image, tmp_path / "a.nii")
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii"))).transpose()
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, expected)


@pytest.mark.parametrize(("dtype", "expected"), [(np.int32, np.int16), (np.float64, np.float32), (np.int8, np.int16)])
def test_narrows_wide_numbers_without_changing_them(tmp_path: Path, dtype: type, expected: type) -> None:
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == expected
    np.testing.assert_array_equal(volume.array, array)


def test_drops_axes_of_size_one_and_refuses_a_time_series(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((2, 3, 4, 1), np.uint8), np.eye(4)), tmp_path / "still.nii")
    nib.save(nib.Nifti1Image(np.ones((2, 3, 4, 5), np.uint8), np.eye(4)), tmp_path / "film.nii")
    assert read_volume(tmp_path / "still.nii").grid.shape == (2, 3, 4)
    with pytest.raises(InvalidInputError, match="2D or 3D"):
        read_volume(tmp_path / "film.nii")


def test_reads_a_picture_with_columns_as_i_and_rows_as_j(tmp_path: Path) -> None:
    picture = Image.new("L", (4, 3))
    picture.putpixel((3, 1), 200)
    picture.save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.grid.shape == (4, 3, 1)
    assert volume.array[3, 1, 0] == 200
    np.testing.assert_array_equal(volume.grid.affine_lps, np.eye(4))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_turns_a_colour_picture_grey_as_pillow_does(tmp_path: Path, suffix: str) -> None:
    colours = np.random.default_rng(3).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / f"a{suffix}")
    expected = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("L")).T
    np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}").array[..., 0], expected)


def test_keeps_16_bits_of_a_radiograph(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 65536, (6, 5), dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.dtype == np.uint16
    np.testing.assert_array_equal(volume.array[..., 0], pixels.T)
    write_image(tmp_path / "b.png", volume)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), pixels)


def test_reads_one_bit_and_palette_masks_as_label_values(tmp_path: Path) -> None:
    mask = np.random.default_rng(5).integers(0, 2, (6, 5)).astype(bool)
    Image.fromarray(mask).save(tmp_path / "bit.png")
    palette = Image.fromarray((mask * 3).astype(np.uint8)).convert("P")
    indices = np.asarray(palette)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_label(tmp_path / "bit.png")[0].array[..., 0], mask.T)
    np.testing.assert_array_equal(read_label(tmp_path / "palette.png")[0].array[..., 0], indices.T)


def test_refuses_a_colour_picture_as_a_label(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InvalidInputError, match="grey or palette"):
        read_label(tmp_path / "a.png")


def _slicer_segmentation(path: Path, layers: np.ndarray, segments: list[tuple[str, int, int]]) -> None:
    header: dict[str, object] = {"space": "left-posterior-superior", "space origin": [1.0, 2.0, 3.0]}
    directions: list[list[float]] = [[0.8, 0, 0], [0, 0, 2.5], [0, -0.8, 0]]
    header["space directions"] = np.array(
        directions if layers.ndim == 3 else [[np.nan] * 3, *directions], dtype=np.float64
    )
    header["kinds"] = ["domain"] * 3 if layers.ndim == 3 else ["list", *["domain"] * 3]
    for number, (name, value, layer) in enumerate(segments):
        header[f"Segment{number}_Name"] = name
        header[f"Segment{number}_ID"] = f"Segment_{number}"
        header[f"Segment{number}_LabelValue"] = str(value)
        header[f"Segment{number}_Layer"] = str(layer)
    nrrd.write(str(path), layers, header)


def test_reads_values_and_names_of_a_slicer_segmentation(tmp_path: Path) -> None:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3], array[2, 2, 2] = 5, 52
    _slicer_segmentation(tmp_path / "a.seg.nrrd", array, [("liver", 5, 0), ("aorta (asc.)", 52, 0)])
    label, names = read_label(tmp_path / "a.seg.nrrd")
    assert names == {"liver": 5, "aorta (asc.)": 52}
    np.testing.assert_array_equal(label.array, array)
    np.testing.assert_allclose(label.grid.affine_lps, _affine_lps_by_itk(tmp_path / "a.seg.nrrd"))


def test_merges_the_layers_of_a_slicer_segmentation(tmp_path: Path) -> None:
    layers = np.zeros((2, 4, 5, 6), np.uint8)
    layers[0, 1, 2, 3], layers[1, 2, 2, 2], layers[1, 3, 3, 3] = 1, 1, 2
    segments = [("liver", 1, 0), ("aorta", 1, 1), ("spleen", 2, 1)]
    _slicer_segmentation(tmp_path / "a.seg.nrrd", layers, segments)
    label, names = read_label(tmp_path / "a.seg.nrrd")
    assert names == {"liver": 1, "aorta": 2, "spleen": 3}
    expected = np.zeros((4, 5, 6), np.uint8)
    expected[1, 2, 3], expected[2, 2, 2], expected[3, 3, 3] = 1, 2, 3
    np.testing.assert_array_equal(label.array, expected)


def test_refuses_overlapping_segments_by_name(tmp_path: Path) -> None:
    layers = np.zeros((2, 4, 5, 6), np.uint8)
    layers[:, 1, 2, 3] = 1
    _slicer_segmentation(tmp_path / "a.seg.nrrd", layers, [("liver", 1, 0), ("tumour", 1, 1)])
    with pytest.raises(LabelError, match=r"'tumour' and 'liver'"):
        read_label(tmp_path / "a.seg.nrrd")


def test_refuses_segments_of_one_name(tmp_path: Path) -> None:
    _slicer_segmentation(tmp_path / "a.seg.nrrd", np.ones((2, 2, 2), np.uint8), [("rib", 1, 0), ("rib", 2, 0)])
    with pytest.raises(LabelError, match="different names"):
        read_label(tmp_path / "a.seg.nrrd")


def test_has_no_names_where_the_file_has_none(tmp_path: Path) -> None:
    write_label(tmp_path / "a.nii.gz", _label(3))
    assert read_label(tmp_path / "a.nii.gz")[1] is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_reads_whole_numbers_of_any_type_as_labels(tmp_path: Path, dtype: type) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    nib.save(nib.Nifti1Image(array.astype(dtype), np.eye(4)), tmp_path / "a.nii")
    label, _ = read_label(tmp_path / "a.nii")
    assert label.array.dtype == np.uint8
    np.testing.assert_array_equal(label.array, array)


@pytest.mark.parametrize("bad", [0.5, -1.0, 65536.0, np.nan, np.inf])
def test_refuses_values_that_are_no_labels(bad: float) -> None:
    with pytest.raises(LabelError, match="whole numbers"):
        as_label_array(np.array([[[0.0, 1.0, bad]]]))


def test_does_not_write_a_float_array_as_a_label(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="integer dtype"):
        write_label(tmp_path / "a.nii.gz", Volume(np.ones((2, 2, 2), np.float32), _oblique_grid((2, 2, 2))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*VOLUME_SUFFIXES, ".png", ".jpg"])
@pytest.mark.parametrize("content", ["empty", "text", "cut"])
def test_says_that_a_file_is_damaged(tmp_path: Path, suffix: str, content: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix in (".png", ".jpg"):
        noise = np.random.default_rng(6).integers(0, 256, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    else:
        write_label(path, _label(200))
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello, world\n" * 50, "cut": whole[: len(whole) * 2 // 3]}[content])
    for read in (read_volume, read_label):
        with pytest.raises(CarinaError, match=r"a\."):
            read(path)


def test_says_that_a_header_is_damaged(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[70:72] = (80).to_bytes(2, "little")  # a type of numbers that there is not
    (tmp_path / "a.nii").write_bytes(content)
    itk = sitk.GetImageFromArray(np.zeros((2, 2, 2), np.uint8))
    itk.SetMetaData("Reader", "x")
    sitk.WriteImage(itk, str(tmp_path / "b.mha"))
    content = (tmp_path / "b.mha").read_bytes()
    assert b"Reader" in content
    (tmp_path / "b.mha").write_bytes(content.replace(b"Reader", b"Re\xe4der"))
    for name in ("a.nii", "b.mha"):
        with pytest.raises(InvalidInputError, match="readable"):
            read_volume(tmp_path / name)


def test_refuses_more_voxels_than_memory_is_taken_for_by_the_header_alone(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 3))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(4)))
    nrrd.write(str(tmp_path / "b.nrrd"), np.zeros((2, 2, 2), np.uint8), {"encoding": "gzip"})
    content = (tmp_path / "b.nrrd").read_bytes()
    (tmp_path / "b.nrrd").write_bytes(content.replace(b"sizes: 2 2 2", b"sizes: 30000 30000 3"))
    for name in ("a.nii.gz", "b.nrrd"):
        with pytest.raises(GeometryError, match="at most 2,147,483,648 voxels, got 2,700,000,000"):
            read_volume(tmp_path / name)


def test_refuses_a_nifti_whose_voxels_are_colours(tmp_path: Path) -> None:
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InvalidInputError, match="one real number"):
        read_volume(tmp_path / "a.nii")


def test_refuses_a_header_without_a_usable_grid(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.set_sform(np.zeros((4, 4)), code=1)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(GeometryError):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("name", ["a.txt", "a", ".nii.gz", "a.dcm"])
def test_refuses_a_file_of_another_sort(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"1")
    with pytest.raises(InvalidInputError, match="must end in"):
        read_volume(tmp_path / name)
    with pytest.raises(InvalidInputError, match="must end in"):
        write_label(tmp_path / name, _label(3))


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must exist"):
        read_volume(tmp_path / "absent.nii.gz")


def test_refuses_a_volume_as_a_picture(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="one slice"):
        write_label(tmp_path / "a.png", _label(3))
    assert list(tmp_path.iterdir()) == []


def test_keeps_the_old_file_when_a_write_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_label(path, _label(3))
    before = path.read_bytes()

    def fill_the_disk(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match="disk is full"):
        write_atomically(path, fill_the_disk)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_writes_compressed_files_that_are_really_compressed(tmp_path: Path) -> None:
    write_label(tmp_path / "a.nii.gz", _label(3))
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[344:348] == b"n+1\0"


def test_reads_the_real_labels_with_flipped_axes(test_data: Path) -> None:
    label, names = read_label(test_data / "ct_abdomen_jpeg2000" / "labels.nii.gz")
    assert names is None
    assert label.array.dtype == np.uint8
    assert int((label.array > 0).sum()) == 739_420
