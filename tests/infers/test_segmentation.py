"""The MONAI Label face of a segmentation task: what it says, what it loads, what it refuses."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monailabel.interfaces.tasks.infer_v2 import InferTask

from carina.errors import CancelledError, InvalidInputError, LabelError, NoModelError, UnknownModelError
from carina.images import write_image
from carina.infers.segmentation import SegmentationInfer, segment
from carina.models.loading import load_weights
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.task import PublicWeights
from tests.infers.builder import Bands, noise_volume, task, usual_organs


class OneImageStore:
    """The image port with a single file."""

    name = "one"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []

    def fetch(self, image_id: str) -> Path:
        self.asked.append(image_id)
        return self.path


@pytest.fixture
def models(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def image(tmp_path) -> Path:
    path = tmp_path / "case.nii.gz"
    write_image(path, noise_volume((20, 18, 9)))
    return path


def add_version(models: ModelStore, spec, *, favourite: int, promote: bool = True):
    """A version whose network answers with one label everywhere."""
    network = build_network(spec)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    bias = [name for name, value in state.items() if name.endswith("bias") and value.shape == (spec.out_channels,)][-1]
    state[bias][favourite] = 1.0
    version = models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    if promote:
        models.promote(spec.name, version.version, reason="test")
    return version


def test_segment_gives_the_images_grid_and_timings():
    volume, timings = noise_volume((20, 18, 9)), {}
    label = segment(volume, spec=task(), network=Bands(), device="cpu", timings=timings)
    assert label.grid is volume.grid
    assert set(timings) == {"prepare", "network", "finalise"}


def test_info_speaks_monai_labels_form(models):
    infer = SegmentationInfer(task(config={"note": "x"}), models)
    assert isinstance(infer, InferTask)
    info = infer.info()
    assert info["type"] == "segmentation"
    assert info["labels"] == {"liver": 1, "spleen": 2, "stomach": 3}
    assert info["dimension"] == 3
    assert info["config"] == {"note": "x"}
    assert info["version"] is None
    add_version(models, task(), favourite=1)
    assert infer.info()["version"] == "v1"
    assert "v1" in infer.info()["description"]


def test_draft_is_written_on_the_images_grid_with_its_provenance(models, image):
    version = add_version(models, task(), favourite=2)
    store = OneImageStore(image)
    path, params = SegmentationInfer(task(), models, store)({"image": "case"})
    written, source = nib.load(path), nib.load(image)
    drawn = np.asarray(written.dataobj)
    Path(path).unlink()
    assert store.asked == ["case"]
    assert (drawn == 2).all()
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-4)
    assert params["label_names"] == {"liver": 1, "spleen": 2, "stomach": 3}
    assert params["model_version"] == version.version
    assert params["model_sha256"] == version.sha256
    assert params["device"] == "cpu"
    assert set(params["timings"]) == {"fetch", "prepare", "network", "finalise", "judge", "write"}


def test_output_path_of_the_server_is_used(models, image, tmp_path):
    add_version(models, task(), favourite=1)
    target = tmp_path / "result.nrrd"
    path, _ = SegmentationInfer(task(), models)({"image": image, "output": target})
    assert path == str(target)
    assert target.is_file()


def test_promoted_version_is_served_at_the_next_request(models, image):
    infer = SegmentationInfer(task(), models)
    add_version(models, task(), favourite=1)
    assert (infer.draft({"image": image}).label.array == 1).all()
    second = add_version(models, task(), favourite=3)
    draft = infer.draft({"image": image})
    assert (draft.label.array == 3).all()
    assert draft.params["model_version"] == second.version
    models.rollback("test_task")
    assert (infer.draft({"image": image}).label.array == 1).all()


def test_weights_are_read_once_while_the_version_stays(models, image):
    version = add_version(models, task(), favourite=1)
    infer = SegmentationInfer(task(), models)
    infer.draft({"image": image})
    version.weights_path.unlink()
    assert (infer.draft({"image": image}).label.array == 1).all()


def test_version_asked_for_is_used_without_being_promoted(models, image):
    add_version(models, task(), favourite=1)
    add_version(models, task(), favourite=2, promote=False)
    infer = SegmentationInfer(task(), models)
    assert (infer.draft({"image": image, "model_version": "v2"}).label.array == 2).all()
    assert (infer.draft({"image": image}).label.array == 1).all()
    with pytest.raises(UnknownModelError):
        infer.draft({"image": image, "model_version": "v9"})


def test_without_a_model_the_error_says_what_to_do(models, image):
    weights = PublicWeights(file_name="model.pt", source="Somewhere 1.0", licence="Apache-2.0")
    with pytest.raises(NoModelError, match=r"Submit labels and train, or put 'model\.pt' \(Somewhere 1\.0\) into"):
        SegmentationInfer(task(weights=(weights,)), models).draft({"image": image})


@pytest.mark.parametrize("state_key", [None, "model"])
def test_public_weights_in_the_model_folder_are_taken_up(models, image, state_key):
    weights = PublicWeights(file_name="model.pt", source="Somewhere 1.0", licence="Apache-2.0", state_key=state_key)
    spec = task(weights=(weights,))
    state = build_network(spec).state_dict()
    models.folder(spec.name).mkdir(parents=True)
    torch.save({"model": state} if state_key else state, models.folder(spec.name) / "model.pt")
    draft = SegmentationInfer(spec, models).draft({"image": image})
    assert draft.params["model_version"] == "v1"


def test_label_subset_erases_the_others_and_keeps_the_indices(models, image):
    add_version(models, task(), favourite=2)
    infer = SegmentationInfer(task(), models)
    kept = infer.draft({"image": image, "labels": ["spleen"]})
    assert (kept.label.array == 2).all()
    assert kept.params["label_names"] == {"spleen": 2}
    assert not infer.draft({"image": image, "labels": "liver, stomach"}).label.array.any()


def test_unknown_label_is_refused_with_the_closest(models, image):
    with pytest.raises(LabelError, match="Did you mean 'spleen'"):
        SegmentationInfer(task(), models).draft({"image": image, "labels": ["spleeen"]})


@pytest.mark.parametrize(
    "options", [{"labels": {"liver": 1}}, {"overlap": "much"}, {"overlap": 1.5}, {"device": "cuda:77"}]
)
def test_options_that_make_no_sense_are_refused(models, image, options):
    add_version(models, task(), favourite=1)
    with pytest.raises(InvalidInputError):
        SegmentationInfer(task(), models).draft({"image": image, **options})


def test_text_is_never_taken_for_a_path(models, image):
    add_version(models, task(), favourite=1)
    with pytest.raises(InvalidInputError, match="must name an image of the datastore"):
        SegmentationInfer(task(), models).draft({"image": str(image)})


def test_progress_rises_and_cancelling_ends_the_draft(models, image):
    add_version(models, task(), favourite=1)
    infer, seen = SegmentationInfer(task(), models), []
    infer.draft({"image": image}, progress=lambda fraction, phrase: seen.append((fraction, phrase)))
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    assert seen[0] == (0.0, "fetching the image")
    with pytest.raises(CancelledError):
        infer.draft({"image": image}, cancelled=lambda: True)


def test_a_draft_says_whether_it_looks_like_what_its_version_learned(models, image):
    spec = task()
    version = add_version(models, spec, favourite=1)
    assert "plausibility" not in SegmentationInfer(spec, models).draft({"image": image, "device": "cpu"}).params

    network = build_network(spec)
    network.load_state_dict(load_weights(version))
    models.add(
        spec.name, network.state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices,
        plausibility=usual_organs(spec),
    )  # fmt: skip
    request = {"image": image, "device": "cpu", "model_version": "v2", "labels": "stomach"}
    found = SegmentationInfer(spec, models).draft(request).params["plausibility"]
    assert found["score"] < 0.1
    assert {"spleen is missing", "stomach is missing"} <= set(found["reasons"]), "all labels count, whatever was asked"
