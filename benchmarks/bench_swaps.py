"""Swaps the served model a thousand times while drafts are being made, and looks at every draft.

The workers are the server's own: separate processes that look up the served version at each request. Every version has
random weights of its own, so it draws something of its own; a draft made from half of one version and half of another,
or from a version that was not served while the request ran, is found by comparing voxels. Each swap waits for an
answer, so that all of them happen under load. Some swaps are rollbacks.

    python benchmarks/bench_swaps.py [--swaps 1000] [--workers 2] [--clients 4] [--limit-s 3600] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from carina.geometry import Grid, Volume
from carina.images import read_label, write_image
from carina.models.store import ModelStore
from carina.registry import find_tasks
from carina.server.runner import SegmentationRunners
from carina.server.tickets import InferenceRequest
from carina.server.workers import InferencePool
from carina.settings import Settings

SEED = 0
TASK = "thorax_ct"
VERSIONS = 4
TIMEOUT_S = 300.0


@dataclass
class Served:
    """When each version may have been served: from before its promotion until after the next one."""

    spans: list[tuple[str, float, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def change(self, models: ModelStore, target: str | None) -> None:
        """Promote, or roll back without a target."""
        with self.lock:  # all the while, so that nobody asks `between` before the change is noted
            began = time.monotonic()
            now = models.promote(TASK, target, reason="swap") if target else models.rollback(TASK)
            if self.spans:
                name, since, _ = self.spans[-1]
                self.spans[-1] = (name, since, time.monotonic())
            self.spans.append((now.version, began, float("inf")))

    def between(self, began: float, ended: float) -> set[str]:
        """Versions that may have been served at some time between two moments."""
        with self.lock:
            return {name for name, since, until in self.spans if since <= ended and until >= began}


@dataclass
class Outcome:
    """What was seen."""

    swaps: int = 0
    answers: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    stale: int = 0
    seconds: list[float] = field(default_factory=list)
    by_version: dict[str, int] = field(default_factory=dict)


class Load:
    """Clients that ask for drafts without a pause, and compare what they get."""

    def __init__(
        self, pool: InferencePool, image: Path, expected: dict[str, np.ndarray], served: Served, folder: Path
    ) -> None:
        self.pool, self.image, self.expected, self.served, self.folder = pool, image, expected, served, folder
        self.outcome = Outcome()
        self.answered = threading.Condition()
        self.stop = threading.Event()

    def client(self, number: int) -> None:
        """Ask until `stop` is set."""
        count = 0
        while not self.stop.is_set():
            count += 1
            self.ask(f"client{number}-{count}")

    def ask(self, name: str) -> None:
        """Ask for one draft and note what is wrong with it."""
        output = self.folder / f"{name}.nii.gz"
        began = time.monotonic()
        try:
            result = self.pool.submit(
                InferenceRequest(request_id=name, task=TASK, image=self.image, output=output)
            ).future.result(TIMEOUT_S)
            label, drawn_by = read_label(output)[0].array, result.params["model_version"]
            output.unlink()
        except Exception as error:  # noqa: BLE001  counted, whatever it is
            with self.answered:
                self.outcome.failed.append(f"{type(error).__name__}: {error}")
                self.answered.notify_all()
            return
        ended = time.monotonic()
        possible = self.served.between(began, ended)
        with self.answered:
            seen = self.outcome
            seen.answers += 1
            seen.seconds.append(ended - began)
            seen.mixed += not np.array_equal(label, self.expected[drawn_by])
            seen.stale += drawn_by not in possible
            seen.by_version[drawn_by] = seen.by_version.get(drawn_by, 0) + 1
            self.answered.notify_all()

    def wait_for_an_answer(self) -> None:
        """Wait until one more request has ended."""
        with self.answered:
            before = self.outcome.answers + len(self.outcome.failed)
            if not self.answered.wait_for(
                lambda: self.outcome.answers + len(self.outcome.failed) > before, timeout=TIMEOUT_S
            ):
                raise TimeoutError("no draft came for minutes")


def swap_under_load(home: Path, *, swaps: int, workers: int, clients: int, limit_s: float = float("inf")) -> Outcome:
    """Swap the served version `swaps` times while `clients` threads ask `workers` processes for drafts.

    After `limit_s` seconds it ends early; `Outcome.swaps` says how far it came.
    """
    deadline = time.monotonic() + limit_s
    settings = Settings(home=home)
    models = ModelStore(settings.models_dir)
    image = make_image(home)
    expected = make_versions(models, image)
    served = Served()
    names = list(expected)
    served.change(models, names[0])
    random = np.random.default_rng(SEED)
    pool = InferencePool(SegmentationRunners(settings), devices=("auto",) * workers)
    pool.start()
    load = Load(pool, image, expected, served, home)
    try:
        with ThreadPoolExecutor(clients) as threads:
            running = [threads.submit(load.client, number) for number in range(clients)]
            try:
                load.wait_for_an_answer()  # the workers have loaded torch
                for number in range(swaps):
                    if time.monotonic() > deadline:
                        break
                    back = number % 10 == 9 and len(models.reachable(TASK)) > 1
                    others = [name for name in names if name != served.spans[-1][0]]
                    served.change(models, None if back else str(random.choice(others)))
                    load.wait_for_an_answer()
                    load.outcome.swaps += 1
            finally:
                load.stop.set()
            for client in running:
                client.result()
    finally:
        pool.close()
    return load.outcome


def make_image(home: Path) -> Path:
    """A small oblique volume of noise."""
    home.mkdir(parents=True, exist_ok=True)
    affine = np.array([[-2.9, 0.3, 0, 10], [0.3, 2.9, 0, -20], [0, 0, 4.0, 30], [0, 0, 0, 1.0]])
    array = np.random.default_rng(SEED).normal(0, 300, (24, 20, 12)).astype(np.float32)
    path = home / "image.nii.gz"
    write_image(path, Volume(array, Grid(array.shape, affine)))
    return path


def make_versions(models: ModelStore, image: Path) -> dict[str, np.ndarray]:
    """Versions with random weights → what each draws, computed here and now, without the server."""
    import torch

    from carina.images import read_volume
    from carina.infers.segmentation import segment
    from carina.networks.factory import build_network

    spec = find_tasks().get(TASK)
    expected = {}
    for seed in range(VERSIONS):
        torch.manual_seed(seed)
        network = build_network(spec).eval()
        made = models.add(TASK, network.state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices)
        expected[made.version] = segment(read_volume(image), spec=spec, network=network, device="auto").array
    drawn = list(expected.values())
    if any(np.array_equal(drawn[a], drawn[b]) for a in range(VERSIONS) for b in range(a)):
        raise SystemExit("two versions draw the same, so mixed weights could not be seen")
    return expected


def report(outcome: Outcome, arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    print(f"device {device}; Python {platform.python_version()}; torch {version('torch')}; seed {SEED}")
    print(f"{outcome.swaps} swaps, {arguments.workers} workers, {arguments.clients} clients, {seconds:.0f} s")
    print(f"drafts {outcome.answers}, by version {dict(sorted(outcome.by_version.items()))}")
    print(f"failed {len(outcome.failed)}, mixed {outcome.mixed}, of a version not served {outcome.stale}")
    p50, p99 = np.percentile(outcome.seconds, [50, 99])
    print(f"a draft took {p50 * 1000:.0f} ms (p50), {p99 * 1000:.0f} ms (p99)")
    return {
        "device": device, "swaps": outcome.swaps, "drafts": outcome.answers, "failed": len(outcome.failed),
        "mixed": outcome.mixed, "stale": outcome.stale, "p50_s": float(p50), "p99_s": float(p99),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="end after so many seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        outcome = swap_under_load(
            Path(name) / "home",
            swaps=arguments.swaps,
            workers=arguments.workers,
            clients=arguments.clients,
            limit_s=arguments.limit_s,
        )
    figures = report(outcome, arguments, time.monotonic() - began)
    for reason in sorted(set(outcome.failed)):
        print(reason)
    if arguments.json:
        print(json.dumps(figures))
    return 1 if outcome.failed or outcome.mixed or outcome.stale else 0


if __name__ == "__main__":
    sys.exit(main())
