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
import tempfile
from pathlib import Path

import numpy as np
from small_phantoms import dice_after, groups_of_patients, say_environment, small_task, student, unlabelled

from carina.models.loading import load_weights
from carina.models.metrics import mean_of_defined
from carina.models.store import ModelStore
from carina.trainers.cache import VolumeCache
from carina.trainers.pretraining import pretrain
from carina.trainers.splits import FileSplitStore

HELD_OUT = 8


def one_seed(seed: int, arguments: argparse.Namespace) -> dict[int, tuple[float, ...]]:
    """Steps → Dice from random and from pretrained weights."""
    spec = small_task()
    spec = dataclasses.replace(spec, trainer=dataclasses.replace(spec.trainer, seed=seed))
    counts = {"pool": arguments.pool, "few": arguments.labelled, "unseen": HELD_OUT}
    cases = groups_of_patients(counts, spec, seed=seed)
    epochs = 6
    with tempfile.TemporaryDirectory() as folder:
        models = ModelStore(Path(folder) / "models")
        made = pretrain(
            unlabelled(cases["pool"]),
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            work_dir=Path(folder) / "work",
            options=dataclasses.replace(
                spec.trainer, max_epochs=epochs, steps_per_epoch=arguments.pretrain // epochs, patience_epochs=epochs
            ),
            device="cpu",
        )
        state = load_weights(made.version)
        cache = VolumeCache(Path(folder) / "volumes", spec)
        few, unseen = ([cache.get(case) for case in cases[part]] for part in ("few", "unseen"))
        found = {
            steps: tuple(
                mean_of_defined(list(dice_after(few, unseen, spec, steps=steps, state=begun).values()))
                for begun in (None, state)
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
    say_environment()
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
