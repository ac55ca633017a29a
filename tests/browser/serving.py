"""A server with its own Orthanc, one phantom series and a task whose draft is known."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pydicom
import torch

from carina.models.store import ModelStore
from carina.phantoms.chest import ChestPhantom, make_chest
from carina.phantoms.dicom import SeriesPaths, write_series
from carina.server.running import RunningServer
from carina.settings import Settings
from carina.task import TaskSpec

from ..plugins import plugin_path

COMPRESSIONS = ("none", "jpegls", "jpeg2000")
PLUGIN = Path(__file__).parent / "plugin"
TASK = "tissue_ct"
CLICKS_TASK = "tissue_ct_clicks"
NETWORKS = {TASK: "densities", CLICKS_TASK: "pointing"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a browser test works with; study `n` is compressed as `COMPRESSIONS` says."""

    server: RunningServer
    settings: Settings
    phantoms: tuple[ChestPhantom, ...]
    series: tuple[SeriesPaths, ...]

    @property
    def orthanc(self) -> httpx.Client:
        """A client of the server's PACS."""
        address = self.server.address
        login = (address.pacs_user or "", address.pacs_password or "")
        return httpx.Client(base_url=address.pacs_url or "", auth=login, trust_env=False, timeout=60)

    @property
    def api(self) -> httpx.Client:
        """A client of the server itself."""
        return httpx.Client(base_url=self.server.url, trust_env=False, timeout=60)

    def page(self, number: int = 0) -> str:
        """The address of a study in our mode."""
        return self.page_of(self.series[number])

    def page_of(self, series: SeriesPaths) -> str:
        """The address of a series' study in our mode."""
        return f"{self.server.url}/ohif/annotate?StudyInstanceUIDs={series.study_instance_uid}"

    def store(self, series: SeriesPaths) -> None:
        """Bring a series into the PACS."""
        with self.orthanc as orthanc:
            for file in series.files:
                orthanc.post("/instances", content=file.read_bytes()).raise_for_status()

    def draft(self, series: SeriesPaths, folder: Path) -> nib.Nifti1Image:
        """What the server drafts for a series, asked for without a viewer."""
        with self.api as api:
            query = {"image": series.series_instance_uid, "output": "image"}
            answer = api.post(f"/infer/{TASK}", params=query).raise_for_status()
        file = folder / f"{series.series_instance_uid}.nii.gz"
        file.write_bytes(answer.content)
        return nib.load(file)

    def submit(self, series: SeriesPaths, file: Path, *, user: str) -> str:
        """Store a label map of the task's; the id of its version."""
        params = {"label_info": [{"name": "lung_left", "idx": 1}, {"name": "spine", "idx": 2}], "model": TASK}
        with self.api as api:
            answer = api.put(
                "/datastore/label",
                params={"image": series.series_instance_uid},
                data={"params": json.dumps({**params, "user": user})},
                files={"label": ("label.nii.gz", file.read_bytes())},
            )
        return str(answer.raise_for_status().json()["label"])

    def forget(self, series: SeriesPaths) -> None:
        """Withdraw every version stored of a series, so that its case begins anew."""
        with self.api as api:
            stored = api.get(f"/carina/annotations/{series.series_instance_uid}").raise_for_status().json()
            for version in stored:
                if not version["withdrawn"]:
                    query = {"id": version["id"], "tag": version["tag"]}
                    api.delete("/datastore/label", params=query).raise_for_status()


@contextmanager
def running_place(
    folder: Path, *, studies: int = 1, port: int = 0, environment: Mapping[str, str] | None = None
) -> Iterator[Place]:
    """Make the studies, start the server, with variables added to its environment, and store them."""
    settings = Settings(home=folder / "home", port=port)
    for task, network in NETWORKS.items():
        models = settings.models_dir / task
        models.mkdir(parents=True, exist_ok=True)
        torch.save(plugin_network(network).weights(), models / "model.pt")
    phantoms = tuple(make_chest(seed, shape=(96, 88, 40), oblique_deg=(4.0, -3.0, 6.0)) for seed in range(studies))
    series = tuple(
        write_series(
            phantom.image,
            folder / f"case-{seed}",
            patient_id=f"BROWSER-{seed}",
            seed=seed,
            compression=COMPRESSIONS[seed % len(COMPRESSIONS)],
        )
        for seed, phantom in enumerate(phantoms)
    )
    variables = {"PYTHONPATH": plugin_path(folder, PLUGIN), **(environment or {})}
    with RunningServer(settings, environment=variables) as server:
        place = Place(server=server, settings=settings, phantoms=phantoms, series=series)
        for paths in series:
            place.store(paths)
        yield place


def real_series(folder: Path) -> SeriesPaths:
    """A DICOM series that lies in a folder, its files in the order of its slices."""
    headers = [(pydicom.dcmread(file, stop_before_pixels=True), file) for file in sorted(folder.glob("*.dcm"))]
    first = headers[0][0]
    normal = np.cross(*np.reshape(first.ImageOrientationPatient, (2, 3)).astype(float))
    headers.sort(key=lambda pair: float(normal @ np.array(pair[0].ImagePositionPatient, float)))
    return SeriesPaths(
        folder=folder,
        files=tuple(file for _, file in headers),
        patient_id=str(first.PatientID),
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
    )


def add_version(place: Place) -> str:
    """The task's known weights as a model version of its own, served."""
    spec = plugin_config(TASK)
    models = ModelStore(place.settings.models_dir)
    state = plugin_network().weights()
    version = models.add(TASK, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices, source="imported")
    return models.promote(TASK, version.version, reason="the known weights").version


def plugin_network(name: str = "densities"):
    """The module of a plug-in network, with its known weights."""
    return _plugin("networks", name)


def plugin_config(name: str) -> TaskSpec:
    """The task of a plug-in."""
    return _plugin("configs", name).TASK


def _plugin(folder: str, name: str):
    spec = importlib.util.spec_from_file_location(name, PLUGIN / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
