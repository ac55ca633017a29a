"""MONAI Label's own training for `bench_training_speed.py`: its radiology app's task, on the network of thorax_ct.

Intensities are those of thorax_ct: the app's own would not show its structures to a network that small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.server import compat

compat.install()

from ignite.engine import Events  # noqa: E402
from monai.inferers import SlidingWindowInferer  # noqa: E402
from monai.losses import DiceCELoss  # noqa: E402
from monai.transforms import (  # noqa: E402
    Activationsd,
    AsDiscreted,
    CropForegroundd,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    Orientationd,
    RandSpatialCropd,
    ScaleIntensityRanged,
    SelectItemsd,
    Spacingd,
)
from monailabel.tasks.train.basic_train import BasicTrainTask, Context  # noqa: E402

SPEC = find_tasks().get("thorax_ct")
SIZE = SPEC.trainer.patch_voxels
PAIR = ("image", "label")
SEED = 0
_BODY = -0.3


class Segmentation(BasicTrainTask):
    """`sample-apps/radiology/lib/trainers/segmentation.py` of monailabel 0.8.5."""

    def __init__(self, model_dir: str, *, clock: Any, rate: float, **more: Any) -> None:
        super().__init__(model_dir, **more)
        self._clock, self._rate = clock, rate

    def network(self, context: Context) -> torch.nn.Module:
        """The same first weights as carina's."""
        torch.manual_seed(SEED)
        return build_network(SPEC)

    def optimizer(self, context: Context) -> torch.optim.Optimizer:
        """The app's."""
        return torch.optim.AdamW(context.network.parameters(), lr=self._rate, weight_decay=1e-5)

    def loss_function(self, context: Context) -> torch.nn.Module:
        """The app's."""
        return DiceCELoss(to_onehot_y=True, softmax=True)

    def lr_scheduler_handler(self, context: Context) -> None:
        """None, as in the app."""
        return

    def val_pre_transforms(self, context: Context) -> list[Any]:
        """What is cached."""
        return [
            LoadImaged(keys=PAIR),
            EnsureChannelFirstd(keys=PAIR),
            EnsureTyped(keys=PAIR, device=context.device),
            Orientationd(keys=PAIR, axcodes="RAS"),
            Spacingd(keys=PAIR, pixdim=SPEC.spacing_mm, mode=("bilinear", "nearest")),
            ScaleIntensityRanged(keys="image", a_min=-1000, a_max=400, b_min=-1, b_max=1, clip=True),
            CropForegroundd(
                keys=PAIR, source_key="image", margin=10, k_divisible=list(SIZE), select_fn=lambda image: image > _BODY
            ),
            SelectItemsd(keys=PAIR),
        ]

    def train_pre_transforms(self, context: Context) -> list[Any]:
        """The app changes nothing at random but the place of the patch."""
        *prepared, last = self.val_pre_transforms(context)
        return [*prepared, RandSpatialCropd(keys=PAIR, roi_size=SIZE, random_size=False), last]

    def train_post_transforms(self, context: Context) -> list[Any]:
        """The app's."""
        return [
            EnsureTyped(keys="pred", device=context.device),
            Activationsd(keys="pred", softmax=True),
            AsDiscreted(keys=("pred", "label"), argmax=(True, False), to_onehot=SPEC.out_channels),
        ]

    def val_inferer(self, context: Context) -> SlidingWindowInferer:
        """The app's."""
        return SlidingWindowInferer(
            roi_size=SIZE, sw_batch_size=2, overlap=0.4, padding_mode="replicate", mode="gaussian"
        )

    def finalize(self, context: Context) -> None:
        """Time steps before the validation, which also is a handler of a finished epoch."""
        context.trainer.add_event_handler(Events.EPOCH_STARTED, self._clock.start)
        context.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stepped)
        super().finalize(context)
        context.evaluator.add_event_handler(Events.COMPLETED, self._validated)

    def _stepped(self) -> None:
        self._clock.stop()
        self._clock.start()

    def _validated(self, engine: Any) -> None:
        self._clock.epoch(float(engine.state.metrics["val_mean_dice"]))


class Datastore:
    """The part of MONAI Label's interface that a training asks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def datalist(self) -> list[dict[str, str]]:
        """Pairs of files."""
        names = sorted(path.name for path in (self._folder / "images").glob("*.nii.gz"))
        return [{kind: str(self._folder / f"{kind}s" / name) for kind in PAIR} for name in names]


def run(folder: Path, epochs: int, clock: Any, *, training: int, steps_per_epoch: int, rate: float) -> dict[str, Any]:
    """Train, and validate after every `steps_per_epoch` steps; an epoch of MONAI Label is a step per image."""
    every = steps_per_epoch // training
    datastore = Datastore(folder)
    listed = datastore.datalist()
    task = Segmentation(str(folder / "stock"), clock=clock, rate=rate, val_interval=every, tracking="None", amp=False)
    request = {
        "device": "cpu", "max_epochs": epochs * every, "train_batch_size": 1, "val_batch_size": 1, "multi_gpu": False,
        "pretrained": False, "dataset": "CacheDataset", "dataloader": "ThreadDataLoader", "tracking": "None",
        "train_ds": listed[:training], "val_ds": listed[training:], "name": "run",
    }  # fmt: skip
    task(request, datastore)
    return clock.result()
