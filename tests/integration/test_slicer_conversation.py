"""What 3D Slicer's MONAI Label module says to a server, said by MONAI Label's own client to a live one of ours.

`slicer_conversation.json` lists every call in the order of a working day: what the module does, the request that must
leave the client, and what the module then reads out of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

from carina.geometry import Volume
from carina.images import write_image, write_label
from carina.phantoms.chest import ChestPhantom, make_chest
from carina.server.running import RunningServer
from carina.settings import Settings

from ..browser.serving import PLUGIN, TASK, plugin_network
from ..datastores.proxy import Proxy, running_proxy
from ..plugins import plugin_path

pytestmark = [
    pytest.mark.integration,
    # MONAI Label's client leaves its sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io:pytest.PytestUnraisableExceptionWarning"),
]

CONVERSATION = json.loads(Path(__file__).with_name("slicer_conversation.json").read_text())
KINDS = {"<text>": str, "<number>": (int, float), "<list>": list, "<object>": dict, "<nothing>": type(None)}
FOREGROUND, BACKGROUND = 4, 3


@pytest.fixture(scope="module")
def phantom() -> ChestPhantom:
    return make_chest(0, shape=(72, 60, 32), oblique_deg=(4.0, -3.0, 6.0))


@pytest.fixture(scope="module")
def files(phantom, tmp_path_factory) -> dict[str, Path]:
    """Images and label maps as they lie on disk: those of the datastore, and what is on Slicer's computer."""
    store, own = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("slicer")
    places = {"ct-a": store / "ct-a.nii.gz", "ct-b": store / "ct-b.nii.gz", "local": own / "local.nii.gz"}
    write_image(places["ct-a"], phantom.image)
    for seed, name in enumerate(("ct-b", "local"), start=1):
        write_image(places[name], make_chest(seed, shape=(64, 60, 30), oblique_deg=(-5.0, 2.0, 0.0)).image)
    strokes = np.where(phantom.label.array > 0, 1, 0).astype(np.uint8)
    paint(strokes, phantom.label.array == phantom.structures["lung_left"], FOREGROUND)
    paint(strokes, phantom.label.array == phantom.structures["heart"], BACKGROUND)
    paint(strokes, phantom.image.array < -950, BACKGROUND)
    local = sitk.GetArrayFromImage(sitk.ReadImage(str(places["local"]))).transpose()
    sparse = np.zeros(local.shape, np.uint8)
    sparse[20:30, 20:30, 10:20], sparse[32:36, 32:36, 10:20] = 5, 2
    for name, volume in {
        "strokes": Volume(strokes, phantom.image.grid),
        "truth": phantom.label,
        "sparse": Volume(sparse, make_chest(2, shape=(64, 60, 30), oblique_deg=(-5.0, 2.0, 0.0)).image.grid),
    }.items():
        places[name] = own / f"{name}.nii.gz"
        write_label(places[name], volume)
    return places


def paint(strokes: np.ndarray, structure: np.ndarray, value: int) -> None:
    """A line along i where the structure has most voxels on one."""
    j, k = np.unravel_index(structure.sum(axis=0).argmax(), structure.shape[1:])
    strokes[structure[:, j, k], j, k] = value


@pytest.fixture(scope="module")
def server(files, tmp_path_factory) -> Iterator[RunningServer]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, port=0)
    models = settings.models_dir / TASK
    models.mkdir(parents=True)
    torch.save(plugin_network().weights(), models / "model.pt")
    store = str(files["ct-a"].parent)
    with RunningServer(settings, store_url=store, environment={"PYTHONPATH": plugin_path(home, PLUGIN)}) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server) -> Iterator[Proxy]:
    with running_proxy(server.url) as between:
        yield between


class Slicer:
    """Says the steps of the conversation and remembers what later ones need."""

    def __init__(self, proxy: Proxy, files: dict[str, Path], phantom: ChestPhantom, folder: Path) -> None:
        self.client = MONAILabelClient(proxy.url, tmpdir=str(folder), client_id="user-xyz")
        self._proxy, self._files, self._phantom, self._folder = proxy, files, phantom, folder
        self._kept: dict[str, str] = {}
        self._info: dict[str, Any] = {}

    def say(self, step: dict[str, Any]) -> None:
        """One step: the call, the request it makes, and what is read out of the answer."""
        before = len(self._proxy.seen)
        if "fails" in step:
            with pytest.raises(MONAILabelClientException) as refusal:
                self._call(step)
            assert step["fails"] in refusal.value.msg  # what the module shows
            answer = None
        else:
            answer = self._download(step) if "download" in step else self._call(step)
        assert self._proxy.seen[before:] == [self._filled(line) for line in step["sends"]]
        self._read(step, answer)

    def _call(self, step: dict[str, Any]) -> Any:
        arguments = {name: self._value(value) for name, value in step.get("with", {}).items()}
        if step["call"] == "infer":
            arguments["params"] |= {"result_extension": ".nrrd", "result_dtype": "uint8"}
        answer = getattr(self.client, step["call"])(**arguments)
        if step["call"] == "info":
            self._info = answer
        return answer

    def _download(self, step: dict[str, Any]) -> None:
        answer = httpx.get(self._proxy.url + self._filled(step["download"]), trust_env=False, timeout=60)
        path = self._folder / "sample.nii.gz"
        path.write_bytes(answer.raise_for_status().content)
        check_volume(path, self._files[step["volume"]])

    def _value(self, value: Any) -> Any:
        if isinstance(value, dict) and "<config>" in value:
            return self._config(value["<config>"]) | {key: item for key, item in value.items() if key != "<config>"}
        if isinstance(value, str) and value.startswith("<"):
            return str(self._files[value.strip("<>")])
        return self._filled(value) if isinstance(value, str) else value

    def _config(self, place: str) -> dict[str, Any]:
        """The options table: a list sends its first, the others go through text fields that keep their type."""
        config = find(self._info, f"{place}.config")
        return {name: value[0] if isinstance(value, list) else value for name, value in config.items()}

    def _filled(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda match: self._kept[match.group(1)], text)

    def _read(self, step: dict[str, Any], answer: Any) -> None:
        if "file" in step:
            path = Path(answer[0] if isinstance(answer, tuple) else answer)
            self._check_file(path, step["file"])
        body = answer[1] if isinstance(answer, tuple) else answer
        if "answers" in step:
            assert body is step["answers"]
        for place, expected in step.get("reads", {}).items():
            found = find(body, place)
            if isinstance(expected, str) and expected in KINDS:
                assert isinstance(found, KINDS[expected]), (place, found)
            else:
                assert found == (self._filled(expected) if isinstance(expected, str) else expected), place
        for place, expected in step.get("in_order", {}).items():
            assert list(find(body, place)) == expected
        for place, expected in step.get("first_of", {}).items():
            assert next(iter(find(body, place))) == expected
        self._kept |= {name: find(body, place) for name, place in step.get("keeps", {}).items()}

    def _check_file(self, path: Path, expected: dict[str, Any]) -> None:
        assert path.name.endswith(expected["ends_with"])
        image, given = sitk.ReadImage(str(path)), sitk.ReadImage(str(self._files[expected["grid_of"]]))
        assert image.GetSize() == given.GetSize()
        assert np.allclose(image.GetOrigin(), given.GetOrigin(), atol=1e-3)
        assert np.allclose(image.GetDirection(), given.GetDirection(), atol=1e-5)
        array = sitk.GetArrayFromImage(image).transpose()
        assert array.dtype == np.dtype(expected["dtype"])
        assert np.unique(array).tolist() == expected["values"]
        if "dice_of_lung_left" in expected:
            truth = self._phantom.label.array == self._phantom.structures["lung_left"]
            assert 2 * np.sum((array == 1) & truth) / (np.sum(array == 1) + truth.sum()) > expected["dice_of_lung_left"]


def find(answer: Any, place: str) -> Any:
    """What stands at `a.b.c`, or None."""
    for name in place.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer


def check_volume(path: Path, expected: Path) -> None:
    """Two files hold the same voxels in the same place."""
    one, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(expected))
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))
    assert one.GetOrigin() == other.GetOrigin()


def test_every_call_of_slicers_module_is_answered_in_the_form_it_reads(proxy, files, phantom, tmp_path):
    slicer = Slicer(proxy, files, phantom, tmp_path)
    for step in CONVERSATION:
        try:
            slicer.say(step)
        except BaseException as error:
            error.add_note(f"while Slicer does this: {step['does']}")
            raise
