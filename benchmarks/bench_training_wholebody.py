"""Trains wholebody_ct's network on the eight largest organs of one real torso CT until its training Dice is 0.9.

    python benchmarks/bench_training_wholebody.py [--data DIR] [--goal 0.9] [--stages 7:300 5:260] [--minutes 60]
                                                  [--device auto] [--out FILE.safetensors]

Network, intensities, loss and optimiser are those of a real training, without its augmentation and dropout: the
question is whether all of it together can fit a case. Two things make it feasible on two cores: every patch is the
whole volume, because organs of one density differ by where they lie, and training goes from coarse voxels to finer ones
(`--stages`, spacing in mm and steps) instead of starting at the task's 1.5 mm, where one step would cost a hundred
times as much. On a GPU, add `3:200 1.5:200`. Dice is measured on the image's own 3 mm grid through inference's sliding
window, after every 20 steps; the time includes preparation and these measurements. What a stage can reach at most is
printed first: the reference itself, brought to the stage's voxels and back.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.models.metrics import compare, mean_of_defined
from carina.models.weights import save_state
from carina.networks.devices import resolve_device
from carina.networks.factory import build_network, size_multiple
from carina.preprocessing import prepare, prepare_label
from carina.registry import find_tasks
from carina.task import TaskSpec
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import Case
from carina.trainers.dataset import read_case_folder
from carina.trainers.fitting import Epoch, Fitting
from carina.trainers.loss import PartialDiceCELoss, silence_unknown
from carina.trainers.patches import PatchSampler, annotated_channels, fitting_patch

SEED = 0
STEPS_PER_EPOCH = 20
LARGEST_PATCH = (160, 160, 160)
ORGANS = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas", "adrenal_gland_right",
    "adrenal_gland_left", "lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right",
    "lung_middle_lobe_right", "lung_lower_lobe_right", "esophagus", "trachea", "small_bowel", "duodenum", "colon",
    "urinary_bladder",
)  # fmt: skip


class Reached(Exception):  # noqa: N818 — good news
    """The goal is reached, or the time is over."""


def largest_organs(case: Case, spec: TaskSpec, *, count: int = 8) -> Case:
    """The case with nothing but its `count` largest organs labelled."""
    image, label = case.load()
    voxels = {name: int(np.count_nonzero(label.array == spec.labels.named(name).index)) for name in ORGANS}
    names = sorted(voxels, key=voxels.__getitem__, reverse=True)[:count]
    indices = [spec.labels.named(name).index for name in names]
    kept = Volume(np.where(np.isin(label.array, indices), label.array, 0), label.grid)
    revision = f"{case.revision}-{','.join(names)}"
    return dataclasses.replace(case, load=lambda: (image, kept), annotated=frozenset(names), revision=revision)


def without_dropout(spec: TaskSpec) -> TaskSpec:
    """The task with a network of the same weights that drops nothing."""
    arguments = {**spec.network.arguments, "dropout_prob": None}
    return dataclasses.replace(spec, network=dataclasses.replace(spec.network, arguments=arguments))


class Reference(nn.Module):
    """A network that knows the answer: what a stage's voxels can hold at most."""

    def __init__(self, truth: np.ndarray, *, shape: tuple[int, ...], channels: int) -> None:
        super().__init__()
        padded = np.zeros(shape, dtype=np.int64)
        padded[tuple(slice(size) for size in truth.shape)] = truth
        scores = nn.functional.one_hot(torch.from_numpy(padded), channels).movedim(-1, 0)
        self.scores = nn.Parameter(8.0 * scores.float()[None], requires_grad=False)

    def forward(self, _image: torch.Tensor) -> torch.Tensor:
        """The scores of the whole volume, the one window there is."""
        return self.scores


class Benchmark:
    """One network going through all stages."""

    def __init__(self, case: Case, task: TaskSpec, arguments: argparse.Namespace) -> None:
        self.case, self.task, self.arguments = case, task, arguments
        self.device = resolve_device(arguments.device)
        torch.manual_seed(SEED)
        self.network = build_network(task).to(self.device)
        self.started = time.monotonic()
        self.steps = 0
        self.best: dict[str, Any] = {"mean_dice": 0.0, "dice": {}, "steps": 0, "seconds": 0.0, "spacing_mm": None}

    def run(self) -> dict[str, Any]:
        """All stages, or until the goal."""
        with contextlib.suppress(Reached):
            for stage, (spacing, steps) in enumerate(self.arguments.stages):
                self.stage(spacing, steps, rate=self.arguments.learning_rate / (1 + stage / 2), first=stage == 0)
        return self.best | {"device": str(self.device)}

    def stage(self, spacing: float, steps: int, *, rate: float, first: bool) -> None:
        """Some steps at one spacing."""
        spec = dataclasses.replace(self.task, spacing_mm=(spacing,) * 3)
        with tempfile.TemporaryDirectory() as work:
            volume = VolumeCache(Path(work), spec).get(self.case)
            patch = fitting_patch([volume], wanted=LARGEST_PATCH, multiple=size_multiple(spec), dimension=3)
            spec = dataclasses.replace(spec, roi_voxels=patch)
            annotated = annotated_channels(volume, spec)
            if first:
                silence_unknown(self.network, known=annotated)
            image, truth = self.case.load()
            prepared = prepare(image, spec)
            known = Reference(prepare_label(truth, prepared), shape=patch, channels=spec.out_channels)
            most = mean_of_defined(list(self.measure(known.to(self.device), prepared, spec).values()))
            print(f"{spacing:g} mm, patches of {patch} voxels, Dice at most {most:.3f}", flush=True)
            Fitting(
                network=self.network,
                spec=spec,
                options=dataclasses.replace(
                    spec.trainer,
                    max_epochs=-(-steps // STEPS_PER_EPOCH),
                    steps_per_epoch=STEPS_PER_EPOCH,
                    batch_size=1,
                    learning_rate=rate,
                    augmentation=0.0,
                    patience_epochs=steps,
                    seed=SEED,
                ),
                sampler=PatchSampler([volume], spec=spec, patch_voxels=patch),
                loss=PartialDiceCELoss(present=annotated, known=annotated).to(self.device),
                validate=lambda network: self.measure(network, prepared, spec),
                device=self.device,
                checkpoint=Path(work) / "checkpoint.safetensors",
                identity="benchmark",
                on_epoch=lambda epoch: self.note(epoch, spacing),
                progress=lambda fraction, text: None,
                cancelled=lambda: False,
            ).run()

    def measure(self, network: nn.Module, prepared: Any, spec: TaskSpec) -> dict[str, float]:
        """Dice per organ on the image's own grid."""
        drawn = predict(network, prepared, spec=spec, device=self.device)
        rows = compare(drawn, self.case.load()[1], labels=spec.labels, surface=False)
        return {name: rows[name]["dice"] for name in sorted(self.case.annotated or ())}

    def note(self, epoch: Epoch, spacing: float) -> None:
        """Print a line and keep the best."""
        self.steps += STEPS_PER_EPOCH
        seconds = time.monotonic() - self.started
        dice = {name: value or 0.0 for name, value in epoch.per_label.items()}
        mean = mean_of_defined(list(dice.values()))
        print(f"{seconds:6.0f} s  step {self.steps:4d}  loss {epoch.loss:.3f}  Dice {mean:.3f}", flush=True)
        if mean > self.best["mean_dice"]:
            self.best = {
                "mean_dice": mean, "dice": dice, "steps": self.steps, "seconds": seconds, "spacing_mm": spacing,
            }  # fmt: skip
            if self.arguments.out is not None:
                save_state(self.arguments.out, self.network.state_dict())
        if mean >= self.arguments.goal or seconds > self.arguments.minutes * 60:
            raise Reached


def parse_stage(text: str) -> tuple[float, int]:
    spacing, _, steps = text.partition(":")
    return float(spacing), int(steps)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("CARINA_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--goal", type=float, default=0.9)
    parser.add_argument("--stages", type=parse_stage, nargs="+", default=[(7.0, 300), (5.0, 260)])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Print the curve, a table, and one JSON object as the last line; fails if the goal is not reached."""
    arguments = parse()
    task = without_dropout(find_tasks().get("wholebody_ct"))
    folder = arguments.data / "ct_torso_3mm"
    (case,) = read_case_folder(folder, folder, task)
    machine = f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {machine}, seed {SEED}")
    result = Benchmark(largest_organs(case, task), task, arguments).run()
    print("\n".join(f"{name:24s} {value:.3f}" for name, value in result["dice"].items()))
    spent = f"{result['steps']} steps, {result['seconds']:.0f} s on {result['device']}"
    print(f"mean Dice {result['mean_dice']:.3f} after {spent}")
    print(json.dumps(result | {"goal": arguments.goal, "reached": result["mean_dice"] >= arguments.goal}))
    return 0 if result["mean_dice"] >= arguments.goal else 1


if __name__ == "__main__":
    sys.exit(main())
