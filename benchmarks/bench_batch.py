"""Images per second of a batch of radiographs: carina's job against a plain MONAI loop, and whether memory stays flat.

Both read the same PNG files, prepare them the same way, and ask the same network (that of `cxr_covid19`, random
weights) eight at a time. carina's job reads in two threads, and also checks what was done before and keeps every answer
in its database; the peer is a `monai.data.DataLoader` with two workers whose answers go nowhere. They take turns, so
that what else the machine does meets both.

    python benchmarks/bench_batch.py [--images 1000] [--rounds 2] [--side 1024] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from monai.data import DataLoader, Dataset
from PIL import Image
from radiographs import SEED, environment
from scipy import ndimage

from carina.annotations.drafts import drafts_of
from carina.annotations.store import open_annotations
from carina.datastores.port import open_store
from carina.images import read_volume
from carina.jobs import infer
from carina.jobs.events import Reporter
from carina.jobs.folder import JobFolder
from carina.jobs.kind import Work
from carina.models.calibration import sigmoid
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from carina.registry import find_tasks
from carina.settings import Settings

SPEC = find_tasks().get("cxr_covid19")
DIFFERENT = 40
"""Pictures that differ; the others are links to them, which cost the same to read and less to make."""
TOGETHER, WORKERS = 8, 2


def generate(folder: Path, count: int, side: int) -> list[Path]:
    """Grey pictures with soft shapes and some grain, compressed about as well as radiographs."""
    random, files = np.random.default_rng(SEED), []
    for number in range(count):
        path = folder / f"r{number:04d}.png"
        if number < DIFFERENT:
            soft = ndimage.zoom(random.random((12, 12)), side / 12, order=1) * 220
            Image.fromarray((soft + random.normal(10, 2, soft.shape)).clip(0, 255).astype(np.uint8)).save(path)
        else:
            os.link(files[number % DIFFERENT], path)
        files.append(path)
    return files


def cpu_s() -> float:
    """Of this process and of those it has waited for."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def memory_mib() -> float:
    """Of this process."""
    return psutil.Process().memory_info().rss / 2**20


def carina_job(folder: Path, images: Path, device: str) -> tuple[float, float, dict[int, float], dict[str, float]]:
    """Seconds, those of CPU, memory after so many images, and image → probability."""
    folder.mkdir()
    settings = Settings(home=folder / "home")
    models = ModelStore(settings.models_dir)
    version = models.add(SPEC.name, network().state_dict(), fingerprint=SPEC.fingerprint(), labels=SPEC.labels.indices)
    models.promote(SPEC.name, version.version, reason="benchmark")
    annotations, store, memory, begun = open_annotations(settings), open_store(str(images), settings=settings), {}, []

    def between() -> bool:
        begun.append(None)
        if len(begun) % 100 == 1:
            memory[len(begun) - 1] = round(memory_mib(), 1)
        return False

    job = JobFolder(folder)
    started, cpu = time.perf_counter(), cpu_s()
    result = infer.run(
        Work(
            folder=job,
            settings=settings,
            spec=SPEC,
            options={"images": "all"},
            device=device,
            user=None,
            annotations=annotations,
            images=store,
            reporter=Reporter(job),
            cancelled=between,
        )
    )
    seconds, cpu = time.perf_counter() - started, cpu_s() - cpu
    memory[result["images"]] = round(memory_mib(), 1)
    assert result["drafted"] == result["images"], result
    answers = {
        record.image_id: drafts_of(annotations, record.image_id)[0].prediction[0]["score"]
        for record in store.list_images()
    }
    store.close()
    annotations.close()
    return seconds, cpu, memory, answers


def plain_loop(files: list[Path], device: torch.device) -> tuple[float, float, dict[str, float]]:
    """Seconds, those of CPU, and image → probability."""
    model = network().to(device).eval()
    started, cpu = time.perf_counter(), cpu_s()
    loader = DataLoader(
        Dataset([str(path) for path in files], transform=_prepared), batch_size=TOGETHER, num_workers=WORKERS
    )
    logits = []
    with torch.inference_mode():
        for batch in loader:
            logits.append(model(batch.to(device)).float().cpu())
    values = sigmoid(torch.cat(logits)[:, 0].double().numpy())
    seconds, cpu = time.perf_counter() - started, cpu_s() - cpu
    return seconds, cpu, {path.stem: float(value) for path, value in zip(files, values, strict=True)}


def _prepared(path: str) -> torch.Tensor:
    return prepare(read_volume(Path(path)), SPEC).tensor[..., 0]


def warm_up(folder: Path, files: list[Path], device: str) -> None:
    """Both sides import what they need before anything is timed."""
    few = folder / "few"
    few.mkdir()
    for path in files[:TOGETHER]:
        os.link(path, few / path.name)
    carina_job(folder / "warm", few, device)
    plain_loop(files[:TOGETHER], torch.device(device))


def network() -> torch.nn.Module:
    """The same at every call."""
    torch.manual_seed(SEED)
    return build_network(SPEC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", type=int, default=1024, help="pixels of a picture's side")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = folder / "pictures"
        pictures.mkdir()
        files = generate(pictures, arguments.images, arguments.side)
        warm_up(folder, files, str(device))
        carina_s, plain_s, carina_cpu_s, plain_cpu_s, memory = [], [], [], [], {}
        for number in range(arguments.rounds):
            seconds, cpu, used, answers = carina_job(folder / f"job{number}", pictures, str(device))
            carina_s.append(seconds)
            carina_cpu_s.append(cpu)
            memory = memory or used
            seconds, cpu, expected = plain_loop(files, device)
            plain_s.append(seconds)
            plain_cpu_s.append(cpu)
            np.testing.assert_allclose([answers[key] for key in expected], list(expected.values()), atol=1e-3)
    per_s: Callable[[list[float]], float] = lambda seconds: arguments.images / statistics.fmean(seconds)  # noqa: E731
    report: dict[str, Any] = {
        **environment(),
        "images": arguments.images,
        "side": arguments.side,
        "carina_images_per_s": round(per_s(carina_s), 1),
        "plain_images_per_s": round(per_s(plain_s), 1),
        "ratio": round(per_s(carina_s) / per_s(plain_s), 2),
        "ratio_per_round": [round(plain / own, 2) for own, plain in zip(carina_s, plain_s, strict=True)],
        "carina_cpu_ms_per_image": round(1000 * statistics.fmean(carina_cpu_s) / arguments.images, 1),
        "plain_cpu_ms_per_image": round(1000 * statistics.fmean(plain_cpu_s) / arguments.images, 1),
        "load_average": os.getloadavg()[0],
        "memory_mib_after_images": memory,
    }
    if not arguments.json:
        print(
            f"carina {report['carina_images_per_s']} images/s, plain MONAI {report['plain_images_per_s']}, ratio "
            f"{report['ratio']}; CPU {report['carina_cpu_ms_per_image']} ms an image, plain "
            f"{report['plain_cpu_ms_per_image']}, load {report['load_average']:.1f}; memory "
            f"{memory.get(100)} MiB after 100 images, {memory[arguments.images]} after all"
        )
    print(json.dumps(report) if arguments.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
