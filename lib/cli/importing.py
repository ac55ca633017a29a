"""`carina import`: images into the datastore, and what is wrong with them said before anybody needs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from rich.markup import escape

from ..errors import CarinaError, ConflictError, InvalidInputError
from ..settings import Settings
from .options import JsonOption, StoreOption, UserOption
from .output import Output, Report, command

if TYPE_CHECKING:
    from ..datastores.dicom_files import DicomSeriesFiles

Add = Callable[[Path], str]
"""Takes an image file, or a folder of one DICOM series; gives the image's id."""

_UPLOAD_TIMEOUT_S = 600.0
_ZIP = ".zip"


def import_images(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="DICOM folder or zip, or NIfTI/NRRD/PNG; or a folder of these.")
    ],
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Send to a carina server instead of to a store.")
    ] = None,
    store: StoreOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring images into the datastore; a DICOM series keeps its UIDs.

    A folder is searched with its subfolders; DICOM files are sorted into series, wherever they lie. A series with
    slices missing, doubled or unevenly spaced is imported with a warning: nothing can be drafted on it before it is
    complete. Another machine's server (--server) refuses such a series. What cannot be imported is named, and the rest
    goes on; the exit status is 1 only if nothing could be.

    Examples: [bold]carina import study/[/], [bold]carina import study.zip --server http://127.0.0.1:8000[/],
    [bold]carina import ct.nii.gz --store ./images[/]
    """
    with command(as_json=as_json) as output:
        if server is not None and store is not None:
            raise InvalidInputError("Options --server and --store must not be given together. Choose one.")
        if not path.exists():
            raise InvalidInputError(f"'{path}' must be a file or a folder, but is not there. Check the path.")
        importing = Importing()
        try:
            with output.progress("Import") as report, _to_server(server) if server else _to_store(store, user) as add:
                importing.all_of(path, add, report)
        finally:
            _tell(output, importing)
        importing.refuse_nothing()
        output.result({"images": importing.images, "warnings": importing.warnings, "refused": importing.refused})


class Importing:
    """What one import has done so far.

    Attributes:
        images: Ids of what was imported.
        warnings: Of those, the ones that cannot be read as they are: `image` and `detail`.
        refused: What was not imported: `source`, a file's name or a SeriesInstanceUID, and `detail`.
    """

    def __init__(self) -> None:
        self.images: list[str] = []
        self.warnings: list[dict[str, str]] = []
        self.refused: list[dict[str, str]] = []

    def all_of(self, path: Path, add: Add, report: Report) -> None:
        """Import all images that a path stands for.

        Args:
            path: A file, or a folder that is searched.
            add: Where to.
            report: Told a fraction and a phrase.

        Raises:
            InvalidInputError: If there is no image.
            CarinaError: If the store or server fails, whatever the image; what was imported before stays.
        """
        files, series, damaged = find_sources(path)
        self._refuse(damaged)
        sources: list[Path | DicomSeriesFiles] = [*files, *series]
        for number, source in enumerate(sources):
            name = source.name if isinstance(source, Path) else source.series_instance_uid
            report(number / len(sources), name)
            with self._going_on(name):
                if not isinstance(source, Path):
                    self._series(source, add)
                elif source.suffix.lower() == _ZIP:
                    self._zip(source, add)
                else:
                    self.images.append(add(source))

    def refuse_nothing(self) -> None:
        """Nothing imported is an error.

        Raises:
            InvalidInputError: With the reason.
        """
        if not self.images:
            others = f" {len(self.refused) - 1} more could not be imported either." if self.refused[1:] else ""
            raise InvalidInputError(f"Nothing was imported. {self.refused[0]['detail']}{others}")

    def _zip(self, source: Path, add: Add) -> None:
        from ..datastores.dicom_files import images_among, opened, sort_files

        with opened(source, Settings()) as folder:
            found, damaged = sort_files(folder)
            self._refuse(damaged)
            for series in images_among(found, folder):
                with self._going_on(series.series_instance_uid):
                    self._series(series, add)

    def _series(self, series: DicomSeriesFiles, add: Add) -> None:
        with series.alone() as folder:
            image = add(folder)
        self.images.append(image)
        detail = _unreadable(series)
        if detail is not None:
            self.warnings.append({"image": image, "detail": detail})

    def _refuse(self, damaged: list[Path]) -> None:
        detail = (
            "A DICOM file must be whole and open to this user, and is not. Export it again, or see its permissions."
        )
        self.refused += [{"source": file.name, "detail": detail} for file in damaged]

    @contextmanager
    def _going_on(self, source: str) -> Iterator[None]:
        """Note why a source is refused; what is wrong with it is not wrong with the next."""
        try:
            yield
        except (InvalidInputError, ConflictError) as error:
            self.refused.append({"source": source, "detail": str(error)})


def find_sources(path: Path) -> tuple[list[Path], list[DicomSeriesFiles], list[Path]]:
    """What lies at or below a path, in the order of its names.

    Returns:
        Image files and zips; DICOM series; and DICOM files and folders that cannot be read.

    Raises:
        InvalidInputError: If there is no image.
    """
    from ..datastores.dicom_files import sort_files
    from ..image_formats import split_suffix

    candidates = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [
        file
        for file in candidates
        if file.is_file()
        and not file.name.startswith(".")
        and (split_suffix(file.name)[1] or file.suffix.lower() == _ZIP)
    ]
    found, damaged = ([], []) if path in files else sort_files(path)
    damaged = [file for file in damaged if file not in files]
    damaged += [folder for folder in candidates if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK)]
    series = [one for one in found if one.is_image]
    if not (files or series):
        got = f"{len(found)} DICOM series that are no images" if found else "none"
        got += f" and {len(damaged)} that cannot be read" if damaged else ""
        raise InvalidInputError(
            f"'{path}' must hold images, got {got}. Expected DICOM files, .nii.gz, .nrrd, .png or a zip of DICOM files."
        )
    return files, series, damaged


def _unreadable(series: DicomSeriesFiles) -> str | None:
    """Why the series reader will refuse a series as it is now; None if it will not."""
    from ..dicom.series import read_grid

    try:
        read_grid(series.files)
    except CarinaError as error:
        return str(error)
    return None


def _tell(output: Output, importing: Importing) -> None:
    for one in importing.warnings:
        output.say(
            f"[yellow]Warning:[/] {escape(one['image'])} was imported, but cannot be drafted on or learned from yet."
        )
        output.say(f"  {escape(one['detail'])}")
    for one in importing.refused if importing.images or importing.refused[1:] else []:
        output.say(f"[yellow]Not imported:[/] {escape(one['source'])}. {escape(one['detail'])}")
    if importing.images:
        output.say(f"[green]{len(importing.images)} image(s) imported.[/]")


@contextmanager
def _to_store(store_url: str | None, user: str | None) -> Iterator[Add]:
    from .stores import image_store

    with image_store(Settings(), store_url, user=user) as store:
        yield store.add_image


@contextmanager
def _to_server(server: str) -> Iterator[Add]:
    if not server.startswith(("http://", "https://")):
        raise InvalidInputError(f"Option --server must be such as http://127.0.0.1:8000, got '{server}'. Write it so.")
    with httpx.Client(base_url=server, timeout=_UPLOAD_TIMEOUT_S) as client:

        def add(source: Path) -> str:
            if source.is_file():
                return _upload(client, source)
            with tempfile.TemporaryDirectory() as folder:
                return _upload(client, Path(shutil.make_archive(str(Path(folder) / "series"), "zip", source)))

        yield add


def _upload(client: httpx.Client, file: Path) -> str:
    with file.open("rb") as stream:
        try:
            answer = client.put("/datastore/image", files={"file": (file.name, stream)})
        except httpx.TransportError as error:
            raise CarinaError(
                f"Server {client.base_url} must answer, got '{error}'. Is it running? Start it with `carina up`."
            ) from error
    content: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if not answer.is_success:
        sort = InvalidInputError if answer.is_client_error else CarinaError
        raise sort(f"The server refused it ({answer.status_code}): {content.get('detail', 'it gave no reason.')}")
    return str(content["image"])
