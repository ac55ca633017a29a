"""The DICOMweb proxy before a real Orthanc."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from fastapi import FastAPI

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import open_store
from carina.phantoms.chest import make_chest
from carina.phantoms.dicom import write_series
from carina.server import routes_dicomweb
from carina.server.dicomweb_proxy import DicomWebProxy
from carina.server.responses import install_error_handlers
from carina.settings import Settings

pytestmark = pytest.mark.integration


def test_a_series_is_stored_found_and_retrieved_through_the_proxy(orthanc: OrthancServer, tmp_path: Path) -> None:
    phantom = make_chest(41, shape=(40, 36, 3))
    paths = write_series(phantom.image, tmp_path / "series", patient_id="PROXY-41", seed=41, compression="jpeg2000")
    datasets = [pydicom.dcmread(file) for file in paths.files]
    study = f"/dicomweb/studies/{paths.study_instance_uid}"

    async def talk(client: httpx.AsyncClient) -> None:
        stored = await client.post("/dicomweb/studies", content=_multipart(paths.files), headers=_STOW)
        assert stored.status_code == 200, stored.text
        found = (await client.get("/dicomweb/studies", params={"PatientID": "PROXY-41"})).json()
        assert [item["0020000D"]["Value"] for item in found] == [[paths.study_instance_uid]]
        metadata = await client.get(f"{study}/series/{paths.series_instance_uid}/metadata")
        assert {item["00080018"]["Value"][0] for item in metadata.json()} == {str(d.SOPInstanceUID) for d in datasets}
        assert orthanc.url not in metadata.text
        for dataset in datasets:
            address = f"{study}/series/{paths.series_instance_uid}/instances/{dataset.SOPInstanceUID}/frames/1"
            accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"
            answer = await client.get(address, headers={"Accept": accept})
            assert _parts(answer) == list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))

    _with_proxy(orthanc, tmp_path, talk)
    first = pydicom.dcmread(paths.files[0])
    assert np.array_equal(first.pixel_array + int(first.RescaleIntercept), phantom.image.array[:, :, 0].T)


def _with_proxy(orthanc: OrthancServer, folder: Path, talk) -> None:
    store = open_store(
        f"orthanc+{orthanc.url}", settings=Settings(home=folder), user=orthanc.user, password=orthanc.password
    )

    async def run() -> None:
        app = FastAPI(redirect_slashes=False)
        app.include_router(routes_dicomweb.router)
        install_error_handlers(app)
        async with DicomWebProxy(store, base="/dicomweb") as app.state.dicomweb:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://carina") as client:
                await talk(client)

    asyncio.run(run())
    store.close()


_STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x', "Accept": "application/dicom+json"}


def _multipart(files: tuple[Path, ...]) -> bytes:
    head = b"--x\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + file.read_bytes() + b"\r\n" for file in files) + b"--x--\r\n"


def _parts(answer: httpx.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    message = message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content
    )
    return [part.get_payload(decode=True) for part in message.get_payload()]
