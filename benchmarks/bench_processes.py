"""Do several processes on one training end as one process does, and how much sooner?

    python benchmarks/bench_processes.py [--processes 2] [--patients 12] [--epochs 4] [--batch-size 4] [--json]

The training is that of thorax_ct on phantoms at a small matrix, once by one process and once by several, from the same
weights and with the same batches; with augmentation as it is, whose random numbers belong to each process, and without.

    apart     largest difference of the epochs' losses, and of their validation Dice
    seconds   of the epochs, each process with one thread; a machine that does other things too says little
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

import torch
from small_phantoms import patient, small_task

from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.trainers.cases import Case
from carina.trainers.splits import FileSplitStore
from carina.trainers.standing import Epoch
from carina.trainers.training import train


def epochs_of(cases: list[Case], arguments: argparse.Namespace, *, processes: int, augmentation: float) -> list[Epoch]:
    """Every epoch of one training."""
    spec = small_task()
    options = dataclasses.replace(
        spec.trainer,
        max_epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        augmentation=augmentation,
        processes=processes,
    )
    with tempfile.TemporaryDirectory() as folder:
        models = ModelStore(Path(folder) / "models")
        result = train(
            cases,
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            predict=predict,
            work_dir=Path(folder) / "work",
            options=options,
            device="cpu",
        )
    return list(result.history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Python {platform.python_version()}; torch {version('torch')}; {os.cpu_count()} cores; seed 0")
    spec = small_task()
    cases = [patient(number, spec) for number in range(arguments.patients)]
    found = {}
    for augmentation in (0.0, 1.0):
        alone = epochs_of(cases, arguments, processes=1, augmentation=augmentation)
        together = epochs_of(cases, arguments, processes=arguments.processes, augmentation=augmentation)
        pairs = list(zip(alone, together, strict=True))
        losses = max(abs(one.loss - other.loss) for one, other in pairs)
        dice = max(abs((one.dice or 0.0) - (other.dice or 0.0)) for one, other in pairs)
        seconds = [sum(epoch.seconds for epoch in epochs) for epochs in (alone, together)]
        found[augmentation] = {"losses": losses, "dice": dice, "seconds": seconds, "last": alone[-1].dice}
        print(
            f"augmentation {augmentation:g}: losses apart {losses:.2e}, Dice {dice:.4f} (of {alone[-1].dice:.3f}); "
            f"{seconds[0]:.0f} s alone, {seconds[1]:.0f} s together, load average {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
