"""What image files that are not DICOM hold, format by format: NIfTI; NRRD and MHA, through ITK; PNG and JPEG.

A 2D picture has no place in a patient. It becomes an `(X, Y, 1)` volume of 1 mm pixels whose column index is `i`
and whose row index is `j`, with the identity as `affine_lps`: seen as DICOM shows it, columns run to the patient's
left and rows to the feet's side of the page.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from PIL import Image

from .errors import InvalidInputError, StorageError
from .geometry import Affine, AnyArray, Grid, Volume, lps_to_ras, refuse_huge

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".seg.nrrd", ".nrrd", ".mha")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
IMAGE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES + PICTURE_SUFFIXES

_PICTURE_AFFINE_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_DAMAGED = (
    EOFError,
    HeaderDataError,
    ImageFileError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    zlib.error,
)


def split_suffix(name: str) -> tuple[str, str]:
    """Split a file name into stem and image suffix.

    Returns:
        Stem and suffix in lower case (`.nii.gz` and `.seg.nrrd` stay whole); the suffix is empty if the name is no
        image's.
    """
    lower = name.lower()
    for suffix in IMAGE_SUFFIXES:
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)], suffix
    return name, ""


class Decoded(NamedTuple):
    """A file's voxels `(X, Y, Z)`, or `(layers, X, Y, Z)` of a `.seg.nrrd`, its affine and its text header."""

    array: AnyArray
    affine_ras: Affine
    metadata: Mapping[str, str] = {}

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        x, y, z = self.array.shape[-3:]
        return Grid((x, y, z), self.affine_ras)


def decode(path: Path, *, as_label: bool) -> Decoded:
    """Read a file by its suffix.

    Args:
        path: The file.
        as_label: Whether the colours of a palette are label values.

    Raises:
        InvalidInputError: If it is missing, damaged, too large, of no known format, or holds something else.
    """
    if not path.is_file():
        raise InvalidInputError(f"Image file {path.name} must exist, and is not there. Check the path.")
    suffix = split_suffix(path.name)[1]
    try:
        if suffix in NIFTI_SUFFIXES:
            return _decode_nifti(path)
        if suffix in ITK_SUFFIXES:
            return _decode_itk(path)
        if suffix in PICTURE_SUFFIXES:
            return _decode_picture(path, as_label=as_label)
    except _DAMAGED as error:
        raise InvalidInputError(
            f"{path.name} must be a readable {suffix} image; it is damaged or something else. Export it again."
        ) from error
    raise InvalidInputError(f"An image file must end in one of {', '.join(IMAGE_SUFFIXES)}, got {path.name}.")


def _decode_nifti(path: Path) -> Decoded:
    image = nib.load(path)
    refuse_huge(image.shape)
    array = np.asanyarray(image.dataobj)
    if array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{path.name} must hold one real number per voxel, got {array.dtype}.")
    return Decoded(_three_axes(array, path.name), np.asarray(image.affine, dtype=np.float64))


def _decode_itk(path: Path) -> Decoded:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    refuse_huge([*reader.GetSize(), reader.GetNumberOfComponents()])
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    if image.GetDimension() not in (2, 3):
        raise InvalidInputError(f"{path.name} must be 2D or 3D, got {image.GetDimension()} dimensions.")
    layers = image.GetNumberOfComponentsPerPixel()
    if layers > 1 and not path.name.lower().endswith(".seg.nrrd"):
        raise InvalidInputError(f"{path.name} must hold one value per voxel, got {layers}.")
    array = np.moveaxis(array, -1, 0).transpose(0, 3, 2, 1) if layers > 1 else _three_axes(array.T, path.name)
    size = image.GetDimension()
    affine_lps = np.eye(4)
    directions = np.asarray(image.GetDirection()).reshape(size, size)
    affine_lps[:size, :size] = directions * np.asarray(image.GetSpacing())
    affine_lps[:size, 3] = image.GetOrigin()
    metadata = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    return Decoded(array, lps_to_ras(affine_lps), metadata)


def _decode_picture(path: Path, *, as_label: bool) -> Decoded:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as picture:
                array = _pixels(picture, as_label=as_label)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise InvalidInputError(
                f"{path.name} must have at most {Image.MAX_IMAGE_PIXELS:,} pixels. Scale it down first."
            ) from error
    return Decoded(array.T[..., np.newaxis], _PICTURE_AFFINE_RAS)


def _pixels(picture: Image.Image, *, as_label: bool) -> AnyArray:
    """`(rows, columns)` grey values, or the palette indices of a label map."""
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode == "L" or picture.mode.startswith(("I", "F")) or (as_label and picture.mode == "P"):
        return np.asarray(picture)
    if as_label:
        raise InvalidInputError(f"A label picture must be grey or palette, got mode {picture.mode}.")
    return np.asarray(picture.convert("L"))


def _three_axes(array: AnyArray, name: str) -> AnyArray:
    """Drop trailing axes of size one, and give a 2D image its third."""
    shape = array.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3):
        raise InvalidInputError(f"{name} must be a 2D or 3D image, got shape {array.shape}. Split it first.")
    return array.reshape(shape if len(shape) == 3 else (*shape, 1))


def encoder_of(name: str) -> Callable[[Path, Volume], None]:
    """What writes a file of that name, of the same suffix.

    Raises:
        InvalidInputError: If no image is written in that format.
    """
    suffix = split_suffix(name)[1]
    if suffix in NIFTI_SUFFIXES:
        return _encode_nifti
    if suffix in ITK_SUFFIXES:
        return _encode_itk
    if suffix == ".png":
        return _encode_png
    raise InvalidInputError(f"A written image must end in .nii, .nii.gz, .nrrd, .mha or .png, got {name}.")


def _encode_nifti(path: Path, volume: Volume) -> None:
    image = nib.Nifti1Image(volume.array, volume.grid.affine_ras)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.grid.affine_ras, code="scanner")
    image.set_qform(volume.grid.affine_ras, code="scanner")
    nib.save(image, path)


def _encode_itk(path: Path, volume: Volume) -> None:
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.transpose()))
    affine_lps = volume.grid.affine_lps
    try:
        image.SetSpacing(volume.grid.spacing_mm)
        image.SetDirection((affine_lps[:3, :3] / volume.grid.spacing_mm).ravel().tolist())
        image.SetOrigin(affine_lps[:3, 3].tolist())
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        raise StorageError(f"{path.name} must be writable by ITK, and was refused. Check disk space.") from error


def _encode_png(path: Path, volume: Volume) -> None:
    array = volume.array
    if array.shape[2] != 1 or array.dtype not in (np.uint8, np.uint16):
        raise InvalidInputError(
            f"A picture must be one slice of uint8 or uint16, got {array.shape} {array.dtype}. Write .nii.gz instead."
        )
    Image.fromarray(np.ascontiguousarray(array[:, :, 0].T)).save(path)
