from __future__ import annotations

import shutil
import subprocess
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from carina.dicom.instances import find_instances
from carina.dicom.series import read_grid, read_series
from carina.errors import DicomError, GeometryError, SeriesError
from carina.geometry import ras_to_lps

from .builder import enhanced, make_array, make_grid, radiograph, save, set_pixels, single_frames

SHUFFLED = [4, 0, 6, 2, 5, 1, 3]


def read_with_itk(folder):
    """Array `(X, Y, Z)` and LPS affine as SimpleITK sees the series."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


@pytest.mark.parametrize("spacing_mm", [(0.8, 1.1, 2.5), (1.5, 0.7, 0.9)])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", ["axial", "coronal", "sagittal", "oblique"])
def test_a_shuffled_series_reads_as_it_was_written_and_as_simpleitk_reads_it(tmp_path, name, flips, spacing_mm):
    grid = make_grid(name, spacing_mm=spacing_mm, flips=flips)
    array = make_array(grid.shape)
    datasets = single_frames(grid, array, instance_numbers=[index + 1 for index in SHUFFLED])
    folder = save(datasets, tmp_path / "series", order=SHUFFLED)

    series = read_series(folder)

    np.testing.assert_array_equal(series.volume.array, array)
    assert series.volume.array.dtype == np.int16
    np.testing.assert_allclose(series.volume.grid.affine_ras, grid.affine_ras, atol=1e-8)
    assert series.instance_uids == tuple(dataset.SOPInstanceUID for dataset in datasets)
    itk_array, itk_affine_lps = read_with_itk(folder)
    np.testing.assert_array_equal(series.volume.array, itk_array)
    np.testing.assert_allclose(series.volume.grid.affine_ras, ras_to_lps(itk_affine_lps), atol=1e-5)


def test_slices_written_from_top_to_bottom_are_turned_round():
    grid = make_grid()
    array = make_array(grid.shape)
    series = read_series(single_frames(grid, array)[::-1])
    np.testing.assert_array_equal(series.volume.array, array)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless],
    ids=lambda syntax: syntax.name,
)
@pytest.mark.parametrize("kind", ["single-frame", "multi-frame"])
def test_every_lossless_transfer_syntax_gives_the_same_voxels(tmp_path, syntax, kind):
    grid = make_grid(shape=(40, 36, 7))
    array = make_array(grid.shape)
    datasets = single_frames(grid, array) if kind == "single-frame" else [enhanced(grid, array, frame_order=SHUFFLED)]
    for dataset in datasets:
        if syntax.is_encapsulated:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax
            dataset.set_original_encoding(syntax.is_implicit_VR, True)
    series = read_series(save(datasets, tmp_path / "series"))
    np.testing.assert_array_equal(series.volume.array, array)


def test_jpeg_lossless_gives_the_same_voxels(tmp_path):
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("dcmcjpeg is not installed (Debian package dcmtk)")
    grid = make_grid()
    array = make_array(grid.shape)
    folder = save(single_frames(grid, array), tmp_path / "native")
    encoded = tmp_path / "encoded"
    encoded.mkdir()
    for path in folder.iterdir():
        subprocess.run(["dcmcjpeg", "+e1", str(path), str(encoded / path.name)], check=True)
    assert pydicom.dcmread(next(encoded.iterdir())).file_meta.TransferSyntaxUID.name.startswith("JPEG Lossless")
    np.testing.assert_array_equal(read_series(encoded).volume.array, array)


def test_an_enhanced_object_with_its_own_rescale_per_frame_reads_by_position(tmp_path):
    grid = make_grid()
    array = make_array(grid.shape)
    series = read_series(save([enhanced(grid, array, frame_order=SHUFFLED)], tmp_path / "series"))
    np.testing.assert_array_equal(series.volume.array, array)
    np.testing.assert_allclose(series.volume.grid.affine_ras, grid.affine_ras, atol=1e-8)
    assert series.frame_order == tuple(np.argsort(SHUFFLED))


def test_a_fractional_rescale_per_slice_gives_float32():
    grid = make_grid()
    datasets = single_frames(grid, make_array(grid.shape))
    expected = []
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope = 0.5 + 0.25 * index
        expected.append(dataset.pixel_array.T * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept))
    volume = read_series(datasets).volume
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, np.stack(expected, axis=2))


def test_signed_values_beyond_int16_after_rescale_become_float32():
    grid = make_grid(shape=(13, 11, 3))
    datasets = single_frames(grid, make_array(grid.shape))
    set_pixels(datasets[1], np.full((11, 13), 60000, dtype=np.uint16), bits_stored=16)
    volume = read_series(datasets).volume
    assert volume.array.dtype == np.float32
    assert volume.array[0, 0, 1] == 60000 - 1024


def test_pixel_data_are_not_kept_and_the_callers_datasets_are_not_changed():
    grid = make_grid()
    datasets = single_frames(grid, make_array(grid.shape))
    series = read_series(datasets)
    assert all("PixelData" not in dataset for dataset in series.datasets)
    assert all("PixelData" in dataset for dataset in datasets)


def test_monochrome1_is_inverted_in_a_radiograph_but_not_in_ct():
    pixels = np.random.default_rng(1).integers(0, 4096, (11, 13))
    plain = read_series([radiograph(pixels)]).volume
    inverted = read_series([radiograph(pixels, photometric="MONOCHROME1")]).volume
    np.testing.assert_array_equal(plain.array[:, :, 0], pixels.T)
    np.testing.assert_array_equal(inverted.array, 4095 - plain.array)

    grid = make_grid()
    array = make_array(grid.shape)
    datasets = single_frames(grid, array)
    for dataset in datasets:
        dataset.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(read_series(datasets).volume.array, array)


def test_a_radiograph_has_the_values_it_is_shown_with():
    pixels = np.random.default_rng(1).integers(0, 4096, (11, 13))
    windowed = radiograph(pixels)
    windowed.WindowCenter, windowed.WindowWidth = 2000, 800
    shown = read_series([windowed]).volume.array[:, :, 0]
    assert (shown[pixels.T <= 1600] == shown.min()).all()
    assert (shown[pixels.T >= 2400] == shown.max()).all()
    inside = (pixels.T > 1605) & (pixels.T < 2395)
    np.testing.assert_allclose(np.corrcoef(shown[inside], pixels.T[inside])[0, 1], 1.0, atol=1e-6)
    windowed.PhotometricInterpretation = "MONOCHROME1"
    inverted = read_series([windowed]).volume.array[:, :, 0]
    np.testing.assert_allclose(inverted, shown.max() + shown.min() - shown, rtol=1e-6)


def test_a_lookup_table_is_applied_before_monochrome1_is_inverted():
    pixels = np.arange(12).reshape(3, 4)
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [16, 0, 16], [value**2 for value in range(16)]
    looked_up = radiograph(pixels)
    looked_up.VOILUTSequence = [table]
    np.testing.assert_array_equal(read_series([looked_up]).volume.array[:, :, 0], pixels.T**2)
    looked_up.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(read_series([looked_up]).volume.array[:, :, 0], 121 - pixels.T**2)


@pytest.mark.parametrize("width", [0, 0.5])
def test_a_window_that_shows_nothing_is_passed_over(width):
    pixels = np.random.default_rng(1).integers(0, 4096, (11, 13))
    dark = radiograph(pixels)
    dark.WindowCenter, dark.WindowWidth = 9000, width
    np.testing.assert_array_equal(read_series([dark]).volume.array[:, :, 0], pixels.T)


def test_a_radiograph_without_any_spacing_is_read_in_pixels():
    secondary = radiograph(np.zeros((11, 13)))
    del secondary.ImagerPixelSpacing
    assert read_series([secondary]).volume.grid.spacing_mm == (1.0, 1.0, 1.0)


def test_a_radiograph_takes_the_detector_spacing():
    series = read_series([radiograph(np.zeros((11, 13)))])
    np.testing.assert_array_equal(series.volume.grid.affine_lps, np.diag([0.15, 0.2, 1, 1]))


def test_a_single_slice_takes_its_thickness():
    grid = make_grid()
    volume = read_series(single_frames(grid, make_array(grid.shape))[:1]).volume
    np.testing.assert_allclose(volume.grid.spacing_mm, (0.8, 1.1, 4.0))


def test_positions_rounded_in_the_header_are_still_even():
    grid = make_grid("axial", spacing_mm=(0.8, 0.8, 0.6251))
    datasets = single_frames(grid, make_array(grid.shape))
    for dataset in datasets:
        dataset.ImagePositionPatient = [round(float(value), 1) for value in dataset.ImagePositionPatient]
    assert read_series(datasets).volume.grid.spacing_mm[2] == pytest.approx(0.6251, abs=0.02)


def test_the_real_jpeg2000_series_reads_as_simpleitk_reads_it(test_data):
    folder = test_data / "ct_abdomen_jpeg2000" / "dicom"
    series = read_series(folder)
    array, affine_lps = read_with_itk(folder)
    np.testing.assert_array_equal(series.volume.array, array)
    np.testing.assert_allclose(series.volume.grid.affine_lps, affine_lps, atol=1e-9)
    assert series.volume.grid.spacing_mm[2] == 2.0


def test_other_objects_and_other_files_in_a_folder_are_left_out(tmp_path):
    grid = make_grid()
    array = make_array(grid.shape)
    folder = save(single_frames(grid, array), tmp_path / "series")
    (folder / "readme.txt").write_text("not an image")
    report = single_frames(grid, array, seed=1)[0]
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    save([report], folder / "reports")
    np.testing.assert_array_equal(read_series(folder).volume.array, array)


class TestRefuses:
    grid = make_grid()

    def datasets(self, seed=0):
        return single_frames(self.grid, make_array(self.grid.shape), seed=seed)

    def test_a_missing_slice(self):
        datasets = self.datasets()
        del datasets[4]
        with pytest.raises(SeriesError, match=r"6 slices with 1 missing at a spacing of 2\.5 mm"):
            read_series(datasets)

    def test_several_missing_slices(self):
        datasets = self.datasets()
        with pytest.raises(SeriesError, match="5 slices with 2 missing"):
            read_series([datasets[index] for index in (0, 1, 4, 5, 6)])

    def test_every_gap_by_its_place(self):
        grid = make_grid("axial", shape=(5, 4, 20))
        datasets = single_frames(grid, make_array(grid.shape))
        kept = [index for index in range(20) if index not in (2, 5, 6)]
        with pytest.raises(
            SeriesError, match=r"3 missing .*: 1 after 103\.6\d mm, 2 after 111\.1\d mm along the normal"
        ):
            read_series([datasets[index] for index in kept])
        kept = [index for index in range(20) if index not in (2, 5, 8, 11, 14, 17)]
        with pytest.raises(SeriesError, match=r"14 slices with 6 missing.* and 2 more gaps along"):
            read_series([datasets[index] for index in kept])

    @pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
    def test_places_that_are_no_numbers(self):
        for keyword, value in (("ImagePositionPatient", ["nan", "0", "0"]), ("PixelSpacing", ["inf", "1"])):
            datasets = self.datasets()
            setattr(datasets[1], keyword, value)
            with pytest.raises(DicomError, match=f"{keyword} must hold numbers"):
                read_series(datasets)

    @pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
    def test_a_file_that_was_cut_off_wherever_that_is(self, tmp_path):
        path = save(self.datasets()[:1], tmp_path) / "0000.dcm"
        content = path.read_bytes()
        for length in range(132, len(content), 7):
            path.write_bytes(content[:length])
            with pytest.raises(DicomError):
                read_series(path)

    def test_a_header_that_cannot_be_unpacked(self, tmp_path):
        dataset = self.datasets()[0]
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        path = save([dataset], tmp_path) / "0000.dcm"
        content = path.read_bytes()
        path.write_bytes(content[:-60] + b"\xff" * 60)
        with pytest.raises(DicomError, match="damaged"):
            read_series(path)

    @pytest.mark.slow
    def test_a_few_megabytes_that_unpack_to_gigabytes(self, tmp_path):
        dataset = self.datasets()[0]
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        del dataset.PixelData
        path = save([dataset], tmp_path) / "0000.dcm"
        head, packing = path.read_bytes(), zlib.compressobj(wbits=-zlib.MAX_WBITS)
        zeros = packing.compress(bytes(1 << 26)) + packing.flush(zlib.Z_FULL_FLUSH)  # stands by itself: may be repeated
        end_of_meta = 144 + int.from_bytes(head[140:144], "little")
        path.write_bytes(head[:end_of_meta] + 65 * zeros)
        with pytest.raises(DicomError, match="at most 4,096 MiB"):
            read_series(path)

    def test_more_voxels_than_memory_is_taken_for(self):
        dataset = self.datasets()[0]
        dataset.Rows = dataset.Columns = 65_535
        with pytest.raises(GeometryError, match="at most 2,147,483,648 voxels, got 4,294,836,225"):
            read_series([dataset])

    def test_a_file_that_is_another_instance_s_by_the_time_its_pixels_are_read(self, tmp_path):
        first, second = save(self.datasets()[:2], tmp_path).iterdir()
        instances = find_instances([first, second])
        first.rename(tmp_path / "between")
        second.rename(first)
        with pytest.raises(DicomError, match="stay as it is while it is read"):
            instances[0].load()

    def test_a_duplicate_instance(self):
        datasets = self.datasets()
        with pytest.raises(SeriesError, match="1 duplicate SOP Instance UIDs among 8"):
            read_series([*datasets, datasets[2]])

    def test_a_duplicate_position(self):
        datasets = self.datasets()
        datasets[3].ImagePositionPatient = datasets[2].ImagePositionPatient
        with pytest.raises(SeriesError, match="1 duplicate positions among 7"):
            read_series(datasets)

    def test_mixed_spacing_between_slices(self):
        datasets = self.datasets()
        affine = self.grid.affine_lps
        for dataset, place in zip(datasets, (0, 1, 2, 3, 4.4, 5.8, 7.2), strict=True):
            dataset.ImagePositionPatient = [f"{value:.8g}" for value in (affine @ [0, 0, place, 1])[:3]]
        with pytest.raises(SeriesError, match=r"evenly spaced, got gaps from 2\.5 to 3\.5 mm"):
            read_series(datasets)

    def test_mixed_orientation(self):
        datasets = self.datasets()
        datasets[5].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        with pytest.raises(SeriesError, match="one orientation, got 2: 1 of 7 slices"):
            read_series(datasets)

    def test_mixed_size(self):
        datasets = self.datasets()
        set_pixels(datasets[2], np.zeros((9, 13), dtype=np.uint16), bits_stored=12)
        with pytest.raises(SeriesError, match="one size, got 2: 9×13, 11×13"):
            read_series(datasets)

    def test_mixed_pixel_spacing(self):
        datasets = self.datasets()
        datasets[2].PixelSpacing = [1.1, 0.9]
        with pytest.raises(SeriesError, match="one pixel spacing"):
            read_series(datasets)

    def test_mixed_frames_of_reference(self):
        datasets = self.datasets()
        datasets[2].FrameOfReferenceUID = "1.2.3"
        with pytest.raises(SeriesError, match="one frame of reference, got 2"):
            read_series(datasets)

    def test_a_localizer(self):
        datasets = self.datasets()
        datasets[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        with pytest.raises(SeriesError, match="got 1 among 7"):
            read_series(datasets)

    def test_several_series_unless_one_is_chosen(self, tmp_path):
        first, second = self.datasets(), self.datasets(seed=1)
        folder = save(first + second, tmp_path / "both")
        with pytest.raises(SeriesError) as caught:
            read_series(folder)
        for datasets in (first, second):
            assert f"{datasets[0].SeriesInstanceUID} (7 instances)" in str(caught.value)
        uid = second[0].SeriesInstanceUID
        assert read_series(folder, series_instance_uid=uid).series_instance_uid == uid
        with pytest.raises(SeriesError, match="Available"):
            read_series(folder, series_instance_uid="1.2.3")

    def test_a_file_that_is_not_dicom(self, tmp_path):
        path = tmp_path / "image.dcm"
        path.write_bytes(b"\x89PNG" * 100)
        with pytest.raises(DicomError, match="must be DICOM"):
            read_series([path])

    def test_a_folder_without_images(self, tmp_path):
        (tmp_path / "notes.txt").write_text("nothing here")
        with pytest.raises(DicomError, match="at least one DICOM image"):
            read_series(tmp_path)

    def test_pixel_data_that_are_cut_short(self, tmp_path):
        datasets = self.datasets()
        datasets[3].PixelData = datasets[3].PixelData[:100]
        with pytest.raises(DicomError, match="Pixel data must decode"):
            read_series(save(datasets, tmp_path / "series"))

    def test_a_colour_image(self):
        datasets = self.datasets()
        datasets[0].PhotometricInterpretation = "RGB"
        with pytest.raises(DicomError, match="MONOCHROME1 or MONOCHROME2, got RGB"):
            read_series(datasets)

    def test_an_orientation_that_is_not_orthonormal(self):
        datasets = self.datasets()
        for dataset in datasets:
            dataset.ImageOrientationPatient = [1, 0, 0, 0.2, 1, 0]
        with pytest.raises(DicomError, match="perpendicular unit vectors"):
            read_series(datasets)

    def test_patient_data_in_messages(self, tmp_path):
        datasets = self.datasets()
        del datasets[4]
        with pytest.raises(SeriesError) as caught:
            read_series(save(datasets, tmp_path / "Test^Patient"))
        assert "Test" not in str(caught.value)


class TestGantryTilt:
    """A tilted stack of a linear ramp: linear interpolation must give the ramp back exactly."""

    def tilted(self):
        grid = make_grid("axial", shape=(20, 24, 9), spacing_mm=(1.0, 1.25, 2.0))
        shear = grid.affine_lps.copy()
        shear[:3, 2] += np.tan(np.radians(15)) * 2.0 * np.array([0, 1.0, 0])
        index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
        array = self.ramp(index @ shear[:3, :3].T + shear[:3, 3])
        datasets = single_frames(grid, np.rint(array))
        for number, dataset in enumerate(datasets):
            dataset.ImagePositionPatient = [f"{v:.8g}" for v in (shear @ [0, 0, number, 1])[:3]]
            dataset.GantryDetectorTilt = 15
        return datasets

    @staticmethod
    def ramp(points):
        return 5 * points[..., 0] + 8 * points[..., 1] - 3 * points[..., 2] + 300

    def test_is_refused_with_its_angle(self):
        with pytest.raises(SeriesError, match=r"gantry tilt of 15.0°"):
            read_series(self.tilted())

    def test_is_resampled_on_request(self):
        series = read_series(self.tilted(), correct_tilt=True)
        grid, array = series.volume.grid, series.volume.array
        assert series.tilt_corrected
        assert grid.shape[:1] + grid.shape[2:] == (20, 9)
        assert grid.shape[1] >= 24 + 3
        directions = grid.affine_lps[:3, :3] / grid.spacing_mm
        np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)
        index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
        expected = self.ramp(index @ grid.affine_lps[:3, :3].T + grid.affine_lps[:3, 3])
        covered = array > array.min()
        assert covered.sum() > 20 * 22 * 9
        np.testing.assert_allclose(array[covered], expected[covered], atol=1.0)

    def test_that_is_not_even_is_refused_even_on_request(self):
        datasets = self.tilted()
        position = [float(value) for value in datasets[4].ImagePositionPatient]
        datasets[4].ImagePositionPatient = [position[0] + 7, *position[1:]]
        with pytest.raises(SeriesError, match="one straight line"):
            read_series(datasets, correct_tilt=True)


def test_the_grid_alone_is_that_of_the_whole_series(tmp_path):
    grid = make_grid("oblique", spacing_mm=(0.8, 1.1, 2.5))
    folder = save(single_frames(grid, make_array(grid.shape)), tmp_path / "series", order=SHUFFLED)
    found, header = read_grid(folder)
    whole = read_series(folder)
    assert found.shape == whole.volume.grid.shape
    np.testing.assert_array_equal(found.affine_ras, whole.volume.grid.affine_ras)
    assert "PixelData" not in header
    assert header.SeriesInstanceUID == whole.series_instance_uid
