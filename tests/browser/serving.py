"""A server with its own Orthanc, one phantom series and a task whose draft is known."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch

from carina.phantoms.chest import ChestPhantom, make_chest
from carina.phantoms.dicom import SeriesPaths, write_series
from carina.server.running import RunningServer
from carina.settings import Settings

COMPRESSIONS = ("none", "jpegls", "jpeg2000")
PLUGIN = Path(__file__).parent / "plugin"
TASK = "tissue_ct"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a browser test works with; study `n` is compressed as `COMPRESSIONS` says."""

    server: RunningServer
    phantoms: tuple[ChestPhantom, ...]
    series: tuple[SeriesPaths, ...]

    @property
    def orthanc(self) -> httpx.Client:
        """A client of the server's PACS."""
        address = self.server.address
        login = (address.pacs_user or "", address.pacs_password or "")
        return httpx.Client(base_url=address.pacs_url or "", auth=login, trust_env=False, timeout=60)

    def page(self, number: int = 0) -> str:
        """The address of a study in our mode."""
        return f"{self.server.url}/ohif/annotate?StudyInstanceUIDs={self.series[number].study_instance_uid}"


@contextmanager
def running_place(folder: Path, *, studies: int = 1, port: int = 0) -> Iterator[Place]:
    """Make the studies, start the server, and store them."""
    settings = Settings(home=folder / "home", port=port)
    models = settings.models_dir / TASK
    models.mkdir(parents=True, exist_ok=True)
    torch.save(_network().weights(), models / "model.pt")
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
    with RunningServer(settings, environment={"PYTHONPATH": python_path(folder, PLUGIN)}) as server:
        place = Place(server=server, phantoms=phantoms, series=series)
        with place.orthanc as orthanc:
            for paths in series:
                for file in paths.files:
                    orthanc.post("/instances", content=file.read_bytes()).raise_for_status()
        yield place


def _network():
    spec = importlib.util.spec_from_file_location("densities", PLUGIN / "networks" / "densities.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def python_path(folder: Path, plugin: Path) -> str:
    """Puts a plug-in's files beside carina's own, in the server and in its workers."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(
        "import carina.configs, carina.networks\n"
        f"carina.configs.__path__.append({str(plugin / 'configs')!r})\n"
        f"carina.networks.__path__.append({str(plugin / 'networks')!r})\n"
    )
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
