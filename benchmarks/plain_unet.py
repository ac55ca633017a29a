"""A plain U-Net as anybody would train it with MONAI, for `bench_anatomy.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, RandAdjustContrastd, RandAffined, RandGaussianNoised, RandScaleIntensityd

from carina.label_maps import mask_of
from carina.task import TaskSpec
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import Case

BATCH, RATE = 8, 1e-3
PAIR = ("image", "label")
AUGMENTATION = Compose(
    [
        RandAffined(
            PAIR, prob=0.8, rotate_range=0.17, scale_range=(0.1, 0.1), translate_range=(12, 12),
            mode=("bilinear", "nearest"), padding_mode="border",
        ),
        RandScaleIntensityd("image", factors=0.2, prob=0.5),
        RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5)),
        RandGaussianNoised("image", prob=0.3, std=0.05),
    ]
)  # fmt: skip


def train_plainly(
    cases: Sequence[Case], spec: TaskSpec, *, cpu_s: float, folder: Path, seed: int
) -> tuple[torch.nn.Module, int]:
    """Train until the CPU time is used up.

    Returns:
        The network, and how many steps it took.
    """
    torch.manual_seed(seed)
    AUGMENTATION.set_random_state(seed)
    random, cache = np.random.default_rng(seed), VolumeCache(folder / "plain", spec)
    samples = [_sample(cache, case, spec) for case in cases]
    network = UNet(2, 1, len(spec.labels), channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2)
    optimiser, loss = torch.optim.AdamW(network.parameters(), lr=RATE), DiceCELoss(sigmoid=True)
    started, steps = time.process_time(), 0
    while (used := (time.process_time() - started) / cpu_s) < 1:
        optimiser.param_groups[0]["lr"] = RATE * (1 + np.cos(np.pi * used)) / 2
        drawn = [AUGMENTATION(samples[position]) for position in random.choice(len(samples), BATCH)]
        image, label = (torch.stack([torch.as_tensor(one[key]) for one in drawn]) for key in PAIR)
        optimiser.zero_grad()
        loss(network(image), label).backward()
        optimiser.step()
        steps += 1
    return network.eval(), steps


def _sample(cache: VolumeCache, case: Case, spec: TaskSpec) -> dict[str, torch.Tensor]:
    """`(1, X, Y)` image and `(labels, X, Y)` masks."""
    volume = cache.get(case)
    masks = [mask_of(volume.label[..., 0], label, spec.labels) for label in spec.labels]
    return {
        "image": torch.from_numpy(np.asarray(volume.image[..., 0], np.float32))[None],
        "label": torch.from_numpy(np.stack(masks).astype(np.float32)),
    }
