"""Images as local files: those clients send, and those a datastore fetched."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import UploadFile

from ..datastores.archive import ArchiveLimits, unpack_zip
from ..datastores.port import read_local
from ..errors import InvalidInputError
from ..image_formats import split_suffix
from ..settings import Settings
from .uploads import save, suffix_of


def receive_image(settings: Settings, files: list[UploadFile], folder: Path) -> Path:
    """Save an image sent by a client as one file or one folder, and make sure that it can be read. Blocks.

    Args:
        settings: For the limits.
        files: An image file, a zip of a DICOM series, or the series' files.
        folder: Where it goes; on an error the caller removes it.

    Returns:
        `<folder>/image<suffix>`, or the folder `<folder>/image` of a DICOM series.

    Raises:
        InvalidInputError: If a suffix is unknown, a file is empty, or they are not one readable image.
        ArchiveError: If an archive is broken, leaves its folder or unpacks to too much.
    """
    target = folder / "image"
    suffix = suffix_of(files[0].filename) if len(files) == 1 else ""
    if suffix == ".zip":
        packed = save(files[0].file, folder / "upload.zip")
        unpack_zip(packed, target, limits=ArchiveLimits(total_bytes=settings.unpacked_limit_mib << 20))
        packed.unlink()
    elif suffix and suffix != ".dcm":
        target = save(files[0].file, folder / f"image{suffix}")
    else:
        target.mkdir()
        for number, file in enumerate(files):
            save(file.file, target / f"{number:06d}.dcm")
    read_local(target)
    return target


def receive_label(file: UploadFile, folder: Path) -> Path:
    """Save a label map sent by a client under a name of ours. Blocks.

    Raises:
        InvalidInputError: If its suffix is of no label format, or it is empty.
    """
    suffix = suffix_of(file.filename)
    if not split_suffix(f"label{suffix}")[1]:
        raise InvalidInputError(
            f"A label map must be .nii.gz, .nii, .nrrd or .seg.nrrd, got '{suffix}'. Export it again."
        )
    return save(file.file, folder / f"label{suffix}")
