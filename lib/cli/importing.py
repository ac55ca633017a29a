"""`carina import`: images into the datastore."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from ..errors import CarinaError, InvalidInputError
from ..settings import Settings
from .options import JsonOption, StoreOption, UserOption
from .output import Output, command

_UPLOAD_TIMEOUT_S = 600.0


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

    A folder is taken as one series if DICOM files lie in it, and otherwise as a folder of images and series.

    Examples: [bold]carina import study/[/], [bold]carina import study.zip --server http://127.0.0.1:8000[/],
    [bold]carina import ct.nii.gz --store ./images[/]
    """
    with command(as_json=as_json) as output:
        if server is not None and store is not None:
            raise InvalidInputError("Options --server and --store must not be given together. Choose one.")
        sources = find_sources(path)
        imported = _send(sources, server, output) if server else _add(sources, store, user, output)
        output.say(f"[green]{len(imported)} image(s) imported.[/]")
        output.result({"images": imported})


def find_sources(path: Path) -> list[Path]:
    """Files, and folders of one DICOM series each, that `path` stands for.

    Raises:
        InvalidInputError: If there is nothing.
    """
    from ..images import split_suffix

    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidInputError(f"'{path}' must be a file or a folder, but is not there. Check the path.")
    files = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
    pictures = [file for file in files if split_suffix(file.name)[1] or file.suffix.lower() == ".zip"]
    if files and not pictures:
        return [path]
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    found = pictures + [source for folder in folders for source in find_sources(folder)]
    if not found:
        raise InvalidInputError(f"'{path}' must hold images, got none. Expected DICOM files, .nii.gz, .nrrd or .png.")
    return found


def _add(sources: list[Path], store_url: str | None, user: str | None, output: Output) -> list[str]:
    from .stores import image_store

    imported = []
    with image_store(Settings(), store_url, user=user) as store, output.progress("Import") as report:
        for number, source in enumerate(sources):
            report(number / len(sources), source.name)
            imported.append(store.add_image(source))
    return imported


def _send(sources: list[Path], server: str, output: Output) -> list[str]:
    imported = []
    with (
        httpx.Client(base_url=server, timeout=_UPLOAD_TIMEOUT_S) as client,
        tempfile.TemporaryDirectory() as folder,
        output.progress("Import") as report,
    ):
        for number, source in enumerate(sources):
            report(number / len(sources), source.name)
            file = source
            if source.is_dir():
                file = Path(shutil.make_archive(str(Path(folder) / source.name), "zip", source))
            imported.append(_upload(client, file)["image"])
    return imported


def _upload(client: httpx.Client, file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        try:
            answer = client.put("/datastore/image", files={"file": (file.name, stream)})
        except httpx.TransportError as error:
            raise CarinaError(
                f"Server {client.base_url} must answer, got '{error}'. Is it running? Start it with `carina up`."
            ) from error
    content: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    if not answer.is_success:
        raise CarinaError(f"The server refused '{file.name}' ({answer.status_code}): {content.get('detail', '')}")
    return content
