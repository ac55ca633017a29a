"""Inference against MONAI Label's stock radiology app: same weights, same volume, one run; and peak memory.

    python benchmarks/bench_inference.py [--only speed|memory] [--weights FILE] [--spacing-mm 3] [--quick]

Speed: the 20-slice abdominal CT with the network of `wholebody_ct`, end to end from the file to the written label map.
The stock path is that of `monailabel/sample-apps/radiology`: its pre-transforms, MONAI's `SlidingWindowInferer` (ROI
96³, overlap 0.4, Gaussian, replicate padding), scores inverted to the image's grid, softmax, argmax. Without
`--weights` a few minutes of training make some that draw the larger organs (kept in `--work` for the next run).
Memory: a 512×512×400 CT with 105 classes and a small network, in a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import monai
import nibabel as nib
import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    GaussianSmoothd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    ScaleIntensityd,
    Spacingd,
)
from torch import nn

from carina.dicom.series import read_series
from carina.geometry import Grid, Volume, resample_label
from carina.images import read_volume, write_image, write_label
from carina.infers.segmentation import segment
from carina.infers.sliding_window import predict
from carina.infers.windows import round_up
from carina.models.weights import load_foreign_state
from carina.networks.factory import build_network, size_multiple
from carina.preprocessing import prepare, prepare_label
from carina.registry import find_tasks
from carina.task import NetworkSpec, TaskSpec
from carina.trainers.descent import rate_share
from carina.trainers.loss import PartialDiceCELoss, silence_unknown

SEED = 0
LARGE_ORGANS = ("spleen", "liver", "stomach", "vertebrae_T12", "aorta", "autochthon_left", "autochthon_right", "colon")


def main() -> None:
    """Run the parts asked for, print a table and one JSON object as the last line."""
    here = Path(__file__).resolve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["speed", "memory"])
    parser.add_argument("--weights", type=Path, help="state dict of wholebody_ct (.pt or .safetensors)")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("CARINA_TEST_DATA", here.parents[2] / "shared/data")
    )
    parser.add_argument("--spacing-mm", type=float, help="of both paths and of the training; default: the task's 1.5")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "carina-bench-inference")
    parser.add_argument("--steps", type=int, default=200, help="of the quick training")
    parser.add_argument("--quick", action="store_true", help="few training steps, small memory volume: a smoke test")
    parser.add_argument("--memory-child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.manual_seed(SEED)
    if arguments.memory_child:
        print(json.dumps(run_large_volume(quick=arguments.quick)))
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    versions = f"torch {torch.__version__}, MONAI {monai.__version__}, numpy {np.__version__}"
    print(f"device {device}, {torch.get_num_threads()} threads; {versions}; seed {SEED}", flush=True)
    report: dict[str, object] = {}
    if arguments.only != "memory":
        report["speed"] = measure_speed(arguments)
    if arguments.only != "speed":
        report["memory"] = measure_memory(quick=arguments.quick)
    print(json.dumps(report))


def measure_speed(arguments: argparse.Namespace) -> dict[str, object]:
    """Both paths on the abdominal CT."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    spec = find_tasks().get("wholebody_ct")
    if arguments.spacing_mm:
        spec = dataclasses.replace(spec, spacing_mm=(arguments.spacing_mm,) * 3)
    folder = arguments.data / "ct_abdomen_jpeg2000"
    image = read_series(folder / "dicom").volume
    truth = reference(folder, spec, image.grid)
    weights = arguments.weights or quick_weights(spec, arguments, steps=4 if arguments.quick else arguments.steps)
    state = load_foreign_state(weights, state_key="model" if weights.suffix == ".pt" else None)
    source = arguments.work / "image.nii.gz"
    write_image(source, image)

    rows = {}
    for name, path in {"ours": our_path, "stock": stock_path}.items():
        network = build_network(spec)
        network.load_state_dict(state)
        counter = VoxelCounter(network.eval())
        started = time.perf_counter()
        label = path(source, spec, network, arguments.work / f"{name}.nii.gz")
        rows[name] = {"seconds": time.perf_counter() - started, "voxels": counter.voxels, "label": label}
    ours, stock = rows["ours"], rows["stock"]
    names = [label.name for label in spec.labels if (truth.array == label.index).any()]
    indices = spec.labels.indices
    per_label = {
        name: [dice(row["label"] == indices[name], truth.array == indices[name]) for row in (ours, stock)]
        for name in names
    }
    drawn = [index for index in np.union1d(np.unique(ours["label"]), np.unique(stock["label"])) if index]
    between = {
        spec.labels.at(int(index)).name: dice(ours["label"] == index, stock["label"] == index) for index in drawn
    }
    sizes = [int((ours["label"] == index).sum() + (stock["label"] == index).sum()) for index in drawn]
    result = {
        "seconds_ours": round(ours["seconds"], 1),
        "seconds_stock": round(stock["seconds"], 1),
        "ratio": round(stock["seconds"] / ours["seconds"], 1),
        "million_voxels_ours": round(ours["voxels"] / 1e6, 2),
        "million_voxels_stock": round(stock["voxels"] / 1e6, 2),
        "dice_ours": mean(pair[0] for pair in per_label.values() if max(pair) > 0),
        "dice_stock": mean(pair[1] for pair in per_label.values() if max(pair) > 0),
        "dice_between_all_voxels": round(float(np.average(list(between.values()), weights=sizes)), 4)
        if drawn
        else None,
        "dice_between_mean_of_labels": mean(between.values()),
        "peak_rss_gib": round(peak_rss_gib(), 2),
    }
    print("\nlabel                                ours   stock  between")
    for name in names:
        if max(per_label[name]) > 0:
            print(
                f"{name:34} {per_label[name][0]:7.3f} {per_label[name][1]:7.3f} {between.get(name, float('nan')):8.3f}"
            )
    for name, value in result.items():
        print(f"{name:34} {value}")
    return result


def our_path(source: Path, spec: TaskSpec, network: nn.Module, target: Path) -> np.ndarray:
    """carina, from the file to the written label map."""
    label = segment(read_volume(source), spec=spec, network=network)
    write_label(target, label)
    return label.array


def stock_path(source: Path, spec: TaskSpec, network: nn.Module, target: Path) -> np.ndarray:
    """The stock app's transforms and inferer, as its `BasicInferTask` runs them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = Compose(
        [
            LoadImaged(keys="image"),
            EnsureTyped(keys="image", device=device),
            EnsureChannelFirstd(keys="image"),
            Orientationd(keys="image", axcodes="RAS"),
            Spacingd(keys="image", pixdim=spec.spacing_mm),
            NormalizeIntensityd(keys="image", nonzero=True),
            GaussianSmoothd(keys="image", sigma=0.4),
            ScaleIntensityd(keys="image", minv=-1.0, maxv=1.0),
        ]
    )
    inferer = SlidingWindowInferer(
        roi_size=(96, 96, 96), sw_batch_size=2, overlap=0.4, padding_mode="replicate", mode="gaussian"
    )
    after = Compose([Activationsd(keys="image", softmax=True), AsDiscreted(keys="image", argmax=True)])
    data = before({"image": str(source)})
    with torch.no_grad():
        data["image"] = inferer(data["image"][None], network.to(device))[0]
    data = after(before.inverse(data))
    array = data["image"][0].cpu().numpy().astype(np.uint8)
    nib.save(nib.Nifti1Image(array, data["image"].affine.cpu().numpy()), target)
    return array


class VoxelCounter:
    """Counts the voxels that pass a network."""

    def __init__(self, network: nn.Module) -> None:
        self.voxels = 0
        network.register_forward_pre_hook(self._count)

    def _count(self, _network: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.voxels += inputs[0].numel()


def quick_weights(spec: TaskSpec, arguments: argparse.Namespace, *, steps: int) -> Path:
    """Fit the network to the larger organs of the series for some steps; kept in the work folder.

    It sees what either path shows it: the thin volume as a whole, and a cube with the edge slices repeated.
    """
    target = arguments.work / f"quick-{steps}-{spec.spacing_mm[0]:g}mm.pt"
    if target.is_file():
        return target
    folder = arguments.data / "ct_abdomen_jpeg2000"
    image = read_series(folder / "dicom").volume
    prepared = prepare(image, spec)
    label = reference(folder, spec, image.grid, only=LARGE_ORGANS)
    truth = torch.from_numpy(prepare_label(label, prepared).astype(np.int64))
    known = torch.tensor([True, *(label.name in LARGE_ORGANS for label in spec.labels)])
    network = build_network(spec).to(memory_format=torch.channels_last_3d).train()
    network.dropout.p = 0.0
    silence_unknown(network, known=known)
    loss_of = PartialDiceCELoss(present=known, known=known)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_share(step, steps))
    x, y, z = (round_up(size, size_multiple(spec)) for size in truth.shape)
    sizes = (*[(min(x, 128), min(y, 128), z)] * 3, (96, 96, 48))
    rng = np.random.default_rng(SEED)
    started = time.perf_counter()
    for step in range(steps):
        patch, drawn = random_patch(prepared.tensor[0], truth, rng, size=sizes[step % len(sizes)])
        scores = network(patch[None, None].contiguous(memory_format=torch.channels_last_3d))
        loss = loss_of(scores, drawn[None, None], known[None])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 0 or step == steps - 1:
            spent = time.perf_counter() - started
            print(f"training step {step + 1}/{steps}: loss {loss.item():.3f}, {spent:.0f} s", flush=True)
    torch.save({"model": network.state_dict()}, target)
    return target


def random_patch(
    image: torch.Tensor, truth: torch.Tensor, rng: np.random.Generator, *, size: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """A patch anywhere; where it is larger than the volume, the edge is repeated on both sides as far as it goes."""
    where = []
    for axis, length in enumerate(size):
        room = image.shape[axis] - length
        low = int(rng.integers(room + 1)) if room >= 0 else -int(rng.integers(1 - room))
        where.append(torch.arange(low, low + length).clamp(min=0, max=image.shape[axis] - 1))
    grid = torch.meshgrid(*where, indexing="ij")
    return image[grid], truth[grid]


def reference(folder: Path, spec: TaskSpec, grid: Grid, *, only: tuple[str, ...] | None = None) -> Volume:
    """The reference labels in the task's indices, on the image's grid."""
    label = nifti(folder / "labels.nii.gz")
    values = json.loads((folder / "labels.json").read_text())
    lookup = np.zeros(256, dtype=np.uint8)
    for value, index in spec.labels.remap(values).items():
        if only is None or spec.labels.at(index).name in only:
            lookup[value] = index
    return resample_label(Volume(lookup[label.array.astype(np.uint8)], label.grid), grid=grid)


def nifti(path: Path) -> Volume:
    """A NIfTI file by nibabel."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    return Volume(array, Grid(array.shape, image.affine))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two masks; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0


def mean(values) -> float | None:
    """Mean, None of nothing."""
    numbers = list(values)
    return round(float(np.mean(numbers)), 4) if numbers else None


def measure_memory(*, quick: bool) -> dict[str, object]:
    """Peak memory of the large volume in a process of its own."""
    command = [sys.executable, __file__, "--memory-child", *(["--quick"] if quick else [])]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, object] = json.loads(output.splitlines()[-1])
    print()
    for name, value in result.items():
        print(f"{name:34} {value}")
    return result


def run_large_volume(*, quick: bool) -> dict[str, object]:
    """A CT-like volume of 512×512×400 voxels, 0.8×0.8×1 mm, the body filling most of it."""
    shape = (128, 128, 100) if quick else (512, 512, 400)
    spec = dataclasses.replace(
        find_tasks().get("wholebody_ct"),
        network=NetworkSpec(
            name="segresnet", arguments={"init_filters": 8, "blocks_down": (1, 1, 1), "blocks_up": (1, 1)}
        ),
    )
    array = np.full(shape, -1000, dtype=np.int16)
    x, y = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    array[(x / 0.95) ** 2 + (y / 0.8) ** 2 < 1] = 40
    rng = np.random.default_rng(SEED)
    for index in range(shape[2]):
        array[:, :, index] += rng.integers(-60, 60, shape[:2], dtype=np.int16)
    image = Volume(array, Grid(shape, np.diag([0.8, 0.8, 1.0, 1.0])))
    network = build_network(spec)
    baseline = peak_rss_gib()
    started = time.perf_counter()
    prepared = prepare(image, spec)
    label = predict(network, prepared, spec=spec, device="cpu")
    working = int(np.prod(prepared.grid.shape))
    voxels, classes = int(np.prod(shape)), spec.out_channels
    assert label.array.shape == shape
    return {
        "shape": list(shape),
        "working_shape": list(prepared.grid.shape),
        "classes": classes,
        "seconds": round(time.perf_counter() - started, 1),
        "gib_before": round(baseline, 2),
        "peak_rss_gib": round(peak_rss_gib(), 2),
        "peak_rss_gb": round(peak_rss_gib() * 2**30 / 1e9, 2),
        "stock_scores_at_working_spacing_gb": round(4 * classes * working / 1e9, 1),
        "stock_scores_at_native_resolution_gb": round(4 * classes * voxels / 1e9, 1),
        "stock_scores_and_softmax_gb": round(2 * 4 * classes * voxels / 1e9, 1),
    }


def peak_rss_gib() -> float:
    """Highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
