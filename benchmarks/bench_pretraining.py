"""Does a network that learned to fill in hidden parts of images learn their labels sooner?

    python benchmarks/bench_pretraining.py [--pool 24] [--labelled 4] [--pretrain 240] [--steps 60 240] [--seeds 5]

Networks are those of thorax_ct on phantoms at a small matrix. One begins with weights pretrained on images without
labels, the other with random ones; both then learn from the same few patients with labels, in the same patches. The
Dice is that of patients no network learned from. The interval of the difference is Student's, over the seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from bench_semi import student
from bench_warm_start import patient, small_task

from carina.infers.sliding_window import predict
from carina.models.metrics import mean_of_defined
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.task import TaskSpec
from carina.trainers.cache import CachedVolume, VolumeCache
from carina.trainers.cases import without_label
from carina.trainers.pretraining import pretrain
from carina.trainers.rehearsal import rehearse
from carina.trainers.segmentation import SegmentationLesson
from carina.trainers.splits import FileSplitStore

HELD_OUT = 8


def dice_after(
    state: dict[str, torch.Tensor] | None,
    few: list[CachedVolume],
    unseen: list[CachedVolume],
    spec: TaskSpec,
    *,
    steps: int,
) -> float:
    """Learn from a few labels, from these weights or random ones."""
    lesson = SegmentationLesson(
        spec=spec, options=spec.trainer, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )
    torch.manual_seed(spec.trainer.seed)
    network = build_network(spec)
    if state is not None:
        network.load_state_dict(state)
    rehearse(network, few, lesson=lesson, steps=steps)
    return mean_of_defined(list(lesson.dice(network, unseen).values()))


def one_seed(seed: int, arguments: argparse.Namespace) -> dict[int, tuple[float, float]]:
    """Steps → Dice from random and from pretrained weights."""
    spec = small_task()
    spec = dataclasses.replace(spec, trainer=dataclasses.replace(spec.trainer, seed=seed))
    counts = {"pool": arguments.pool, "few": arguments.labelled, "unseen": HELD_OUT}
    numbers = iter(range(1000 * seed, 1000 * seed + sum(counts.values())))
    cases = {
        part: [patient(next(numbers), spec, other_scanner=False) for _ in range(count)]
        for part, count in counts.items()
    }
    pool = [
        without_label(image_id=case.image_id, patient_id=case.patient_id, revision="1", load=lambda c=case: c.load()[0])
        for case in cases["pool"]
    ]
    epochs = 6
    with tempfile.TemporaryDirectory() as folder:
        models = ModelStore(Path(folder) / "models")
        made = pretrain(
            pool,
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            work_dir=Path(folder) / "work",
            options=dataclasses.replace(
                spec.trainer, max_epochs=epochs, steps_per_epoch=arguments.pretrain // epochs, patience_epochs=epochs
            ),
            device="cpu",
        )
        state = models.load_state(made.version)
        cache = VolumeCache(Path(folder) / "volumes", spec)
        few, unseen = ([cache.get(case) for case in cases[part]] for part in ("few", "unseen"))
        found = {
            steps: (
                dice_after(None, few, unseen, spec, steps=steps),
                dice_after(state, few, unseen, spec, steps=steps),
            )
            for steps in arguments.steps
        }
    shown = ", ".join(f"{steps} steps {plain:.3f} → {begun:.3f}" for steps, (plain, begun) in found.items())
    print(f"seed {seed}: fills in {made.filled:.2f}; {shown}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=int, default=24, help="patients without labels")
    parser.add_argument("--labelled", type=int, default=4)
    parser.add_argument("--pretrain", type=int, default=240, help="steps of the pretraining")
    parser.add_argument("--steps", type=int, nargs="+", default=[60, 240], help="of the trainings after it")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}; torch {version('torch')}; {os.cpu_count()} cores; seeds from 0")
    rows = [one_seed(seed, arguments) for seed in range(arguments.seeds)]
    gains = {}
    for steps in arguments.steps:
        mean, low, high = student(np.array([row[steps][1] - row[steps][0] for row in rows]))
        gains[steps] = [mean, low, high]
        print(f"after {steps} steps pretraining gives {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    if arguments.json:
        print(json.dumps({"rows": rows, "gains": gains}))


if __name__ == "__main__":
    main()
