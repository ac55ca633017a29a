"""Trainings improve, are repeatable and resumable, and never put a worse model in service."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from carina.errors import BusyError, CancelledError, InvalidInputError, OutOfMemoryError
from carina.geometry import Grid, Volume
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.networks.devices import resolve_device
from carina.networks.factory import build_network
from carina.structures import label_set
from carina.task import NetworkSpec, Percentiles
from carina.trainers.cache import VolumeCache
from carina.trainers.checkpoint import load_checkpoint
from carina.trainers.descent import rate_share
from carina.trainers.segmentation import SegmentationLesson
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

from .conftest import draw_toy

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def models(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def run(tmp_path, spec, models):
    """Start a training with every port filled."""

    def start(cases, *, work="job", task=spec, **arguments):
        arguments = {"predict": predict, "device": "cpu", "splits": FileSplitStore(models.root)} | arguments
        return train(cases, spec=task, models=models, work_dir=tmp_path / work, **arguments)

    return start


@pytest.fixture
def patients(toy_case):
    return [toy_case(seed) for seed in range(4)]


def quick(spec, **changes):
    return dataclasses.replace(spec.trainer, **({"max_epochs": 1, "steps_per_epoch": 2} | changes))


def worse(case):
    """The case with its labels shuffled."""

    def load():
        image, label = case.load()
        shuffled = np.random.default_rng(0).permutation(label.array.ravel()).reshape(label.array.shape)
        return image, Volume(shuffled, label.grid)

    return dataclasses.replace(case, load=load, revision="shuffled")


@pytest.mark.slow
def test_learns_is_served_and_keeps_a_worse_candidate_out(run, models, patients, spec):
    told = []
    first = run(patients, progress=lambda fraction, text: told.append((fraction, text)))
    assert first.promoted
    assert first.decision.reason.startswith("nothing served yet; better than chance on liver, spleen")
    assert first.evaluation.mean_dice() > 0.8
    assert first.history[-1].loss < first.history[0].loss
    assert first.measured_on == "holdout"
    assert models.served(spec.name) == first.version
    assert first.version.metrics["liver"]["dice"] > 0.8
    assert first.version.intervals["liver"]["dice"] == {
        "mean": first.version.metrics["liver"]["dice"], "low": None, "high": None, "n": 1,
    }  # fmt: skip
    assert first.version.decision() == json.loads(json.dumps(first.decision.to_json()))
    assert first.version.task_spec["fingerprint"] == first.version.fingerprint
    assert first.overlay.read_bytes().startswith(b"\x89PNG")
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert any("validation Dice" in text for _, text in told)

    parts = FileSplitStore(models.root).get(spec.name)
    shuffled = [worse(case) if parts[case.patient_id] != "holdout" else case for case in patients]
    second = run(shuffled, work="second")
    assert not second.promoted
    assert "worse" in second.decision.reason
    assert (second.version.version, second.version.parent) == ("v2", "v1")
    assert models.served(spec.name) == first.version
    assert not models.get(spec.name, "v2").data["cases"][0].keys() & {"patient", "patient_id"}


def test_one_seed_gives_one_set_of_weights(run, models, patients, spec):
    same = [run(patients, work=f"job{number}", options=quick(spec)).version.sha256 for number in range(1)]
    models.root.rename(models.root.with_name("before"))
    same.append(run(patients, work="again", options=quick(spec)).version.sha256)
    models.root.rename(models.root.with_name("before2"))
    other = run(patients, work="other", options=quick(spec, seed=1)).version.sha256
    assert same[0] == same[1] != other


def test_a_resumed_training_equals_an_uninterrupted_one(run, models, patients, spec, tmp_path):
    options = quick(spec, max_epochs=2, steps_per_epoch=3)
    whole = run(patients, work="whole", options=options)
    models.root.rename(models.root.with_name("before"))
    steps = []

    def stop_in_second_epoch() -> bool:
        return sum(text.startswith("epoch 2") for text in steps) > 1

    with pytest.raises(CancelledError):
        run(
            patients,
            work="cut",
            options=options,
            progress=lambda fraction, text: steps.append(text),
            cancelled=stop_in_second_epoch,
        )
    assert models.served(spec.name) is None
    assert models.list(spec.name) == ()
    assert (tmp_path / "cut" / "checkpoint.safetensors").is_file()
    told = []
    resumed = run(patients, work="cut", options=options, progress=lambda fraction, text: told.append(text))
    assert not any(text.startswith("epoch 1") for text in told)
    assert resumed.version.sha256 == whole.version.sha256
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in whole.history]
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()


def test_a_checkpoint_of_another_training_is_not_resumed(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    assert load_checkpoint(path, identity="a") is None
    path.write_bytes(b"torn")
    assert load_checkpoint(path, identity="a") is None


def test_a_cancelled_training_leaves_the_served_version(run, models, patients, spec):
    first = run(patients, options=quick(spec))
    models.promote(spec.name, "v1", reason="test")
    with pytest.raises(CancelledError):
        run(patients, work="second", options=quick(spec), cancelled=lambda: True)
    assert models.served(spec.name) == first.version
    assert len(models.list(spec.name)) == 1


def test_without_other_patients_nothing_is_served_and_nothing_replaced(run, models, toy_case, spec):
    first = run([toy_case(0)], options=quick(spec))
    assert not first.promoted
    assert first.measured_on == "train"
    assert "which shows nothing" in first.decision.reason
    models.promote(spec.name, "v1", reason="looked at it")
    second = run([toy_case(0)], work="second", options=quick(spec))
    assert not second.promoted
    assert "holdout is empty" in second.decision.reason
    assert models.served(spec.name).version == "v1"


def test_a_served_version_of_another_specification_is_replaced(run, models, patients, spec):
    run(patients, options=quick(spec))
    models.promote(spec.name, "v1", reason="test")
    changed = dataclasses.replace(spec, spacing_mm=(2.5, 2.5, 2.5))
    second = run(patients, work="second", task=changed)
    assert second.promoted
    assert "another form of the task" in second.decision.reason
    assert second.version.parent is None


def test_only_holdout_patients_cannot_be_trained_on(run, models, patients, spec):
    FileSplitStore(models.root).put(spec.name, {case.patient_id: "holdout" for case in patients})
    with pytest.raises(InvalidInputError, match="must belong to a training patient, got 4"):
        run(patients, options=quick(spec))


def test_holdout_and_validation_images_are_never_trained_on(run, models, patients, spec):
    """A network that could only know the holdout's third structure from the holdout does not know it."""
    FileSplitStore(models.root).put(spec.name, {"patient0": "train", "patient1": "validation", "patient2": "holdout"})
    wide = dataclasses.replace(spec, labels=label_set("liver", "spleen", "heart"))
    result = run(patients[:3], task=wide, options=quick(spec, steps_per_epoch=4))
    parts = {row["image_id"]: row["part"] for row in result.version.data["cases"]}
    assert parts == {"image0": "train", "image1": "validation", "image2": "holdout"}
    assert [row.image_id for row in result.evaluation.cases] == ["image2"]


def test_a_loss_that_is_not_finite_is_a_clear_error(run, models, patients, spec):
    options = quick(spec, learning_rate=1e30, steps_per_epoch=20)
    with pytest.raises(InvalidInputError, match="loss must stay finite, got nan in epoch 1"):
        run(patients, options=options)
    assert models.list(spec.name) == ()


def test_two_trainings_in_one_folder_are_refused(run, models, patients, spec, tmp_path):
    def second(fraction: float, text: str) -> None:
        with pytest.raises(BusyError, match="One training of 'toy_ct'"):
            run(patients, options=quick(spec))

    run(patients, options=quick(spec), progress=second)
    assert [version.version for version in models.list(spec.name)] == ["v1"]


class FailingNetwork(torch.nn.Module):
    """Runs out of memory for more than `limit` patches at once."""

    def __init__(self, network: torch.nn.Module, limit: int) -> None:
        super().__init__()
        self.network, self.limit = network, limit

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.training and len(image) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.network(image)


@pytest.mark.parametrize(("limit", "fits"), [(2, True), (1, False)])
def test_out_of_memory_halves_the_batch_once(tmp_path, spec, toy_case, limit, fits):
    from carina.trainers.cache import VolumeCache
    from carina.trainers.fitting import Fitting
    from carina.trainers.loss import PartialDiceCELoss
    from carina.trainers.patches import PatchSampler

    volume = VolumeCache(tmp_path, spec).get(toy_case(0))
    everything = torch.tensor([True, True, True])
    fitting = Fitting(
        network=FailingNetwork(build_network(spec), limit),
        spec=spec,
        options=quick(spec, batch_size=4),
        sampler=PatchSampler([volume], spec=spec, patch_voxels=(8, 8, 8)),
        loss=PartialDiceCELoss(present=everything, known=everything),
        validate=lambda network: {"liver": math.nan},
        device=torch.device("cpu"),
        checkpoint=tmp_path / "checkpoint.safetensors",
        identity="x",
        on_epoch=lambda epoch: None,
        progress=lambda fraction, text: None,
        cancelled=lambda: False,
    )
    if fits:
        fitted = fitting.run()
        assert fitted.best_epoch == 1
        assert fitted.history[0].dice is None
    else:
        with pytest.raises(OutOfMemoryError, match="smaller patch_voxels"):
            fitting.run()


def test_rate_rises_then_falls_to_a_hundredth():
    rates = [rate_share(step, 200) for step in range(200)]
    assert rates[9] == max(rates) == 1
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)
    assert rate_share(0, 1) == 1


def test_a_tracked_run_ends_as_the_training_did(run, patients, spec):
    class Recorder:
        def __init__(self):
            self.calls, self.status = [], None

        def start(self, task, *, name, parameters):
            self.calls.append(("start", task, parameters["max_epochs"]))
            return self

        def log_epoch(self, epoch, values):
            self.calls.append(("epoch", epoch, values.keys() >= {"loss", "validation_dice"}))

        def log_json(self, name, content):
            json.dumps(content, allow_nan=False)
            self.calls.append(("json", name))

        def log_picture(self, path):
            self.calls.append(("picture", path.name))

        def finish(self, *, status, tags):
            self.status, self.tags = status, tags

    done = Recorder()
    run(patients, options=quick(spec), tracking=done)
    assert done.status == "FINISHED"
    assert (done.tags["name"], done.tags["promoted"]) == ("toy_ct v1", "false")
    assert "### toy_ct v1: **kept back**" in done.tags["note"]
    assert done.calls == [
        ("start", "toy_ct", 1),
        ("epoch", 1, True),
        ("json", "gate/decision.json"),
        ("json", "data/manifest.json"),
        ("picture", "overlay.png"),
    ]
    cut, broken = Recorder(), Recorder()
    with pytest.raises(CancelledError):
        run(patients, work="cut", options=quick(spec), tracking=cut, cancelled=lambda: True)
    with pytest.raises(InvalidInputError):
        run(patients, work="broken", options=quick(spec, learning_rate=1e30, steps_per_epoch=20), tracking=broken)
    assert (cut.status, broken.status) == ("KILLED", "FAILED")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(InvalidInputError, match="must"):
        resolve_device(name)


@pytest.mark.gpu
def test_trains_in_half_precision_on_a_gpu(run, patients, spec):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    result = run(patients, device="cuda")
    assert result.evaluation.mean_dice() > 0.8


def test_toy_patients_are_oblique_and_anisotropic():
    grid = draw_toy(0)[0].grid
    assert len(set(np.round(grid.spacing_mm, 3))) == 3
    assert (np.abs(grid.affine_ras[:3, :3]) > 1e-3).all()


def draw_radiograph(seed):
    """A bright box and a brighter, smaller one that lies partly over it, in bits."""
    random = np.random.default_rng(seed)
    left, top = random.integers(2, 8, 2)
    label = np.zeros((37, 41, 1), dtype=np.uint8)
    label[left : left + 18, top : top + 24] |= 1
    label[left + 12 : left + 24, top + 6 : top + 18] |= 2
    image = label * 30.0 + random.normal(0, 4, label.shape)
    grid = Grid(label.shape, np.diag([-1.0, -1.0, 1.0, 1.0]))
    return Volume(image.astype(np.float32), grid), Volume(label, grid)


def test_learns_labels_that_overlap_in_pictures_of_any_size(run, spec, toy_case):
    flat = dataclasses.replace(
        spec,
        dimension=2,
        labels=label_set("lung_left", "airways", overlapping=True),
        spacing_mm=None,
        matrix_voxels=(32, 32, 1),
        intensity=Percentiles(),
        roi_voxels=(32, 32, 1),
        network=NetworkSpec(name="unet", arguments={"filters": (8, 8, 8)}),
    )
    options = quick(flat, max_epochs=4, steps_per_epoch=20, batch_size=4, patch_voxels=(32, 32, 1))
    cases = [toy_case(seed, load=lambda seed=seed: draw_radiograph(seed)) for seed in range(5)]
    result = run(cases, task=flat, options=options)
    assert result.promoted, result.decision.reason
    assert min(row["dice"] for row in result.evaluation.means().values()) > 0.8


def test_what_is_usual_is_learned_from_the_labels_that_speak_of_what_most_speak_of(spec, toy_case, tmp_path):
    cache = VolumeCache(tmp_path, spec)
    cases = [toy_case(seed, annotated=frozenset({"liver"} if seed == 0 else {"liver", "spleen"})) for seed in range(6)]
    volumes = [cache.get(case) for case in cases]
    volumes[0] = dataclasses.replace(volumes[0], voxels={})
    lesson = SegmentationLesson(
        spec=spec, options=spec.trainer, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )
    usual = lesson.plausibility(volumes)
    assert usual is not None
    assert usual.names == ("liver", "spleen")
    assert usual.present == {"liver": 1.0, "spleen": 1.0}
    assert lesson.plausibility(volumes[:5]) is None, "four labels that speak of both are too few"
