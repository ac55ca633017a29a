"""Defaults of a training, as data that needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from .terms import Voxels


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Defaults of a training; every field can be overridden per request by its name.

    Attributes:
        max_epochs: Upper limit; early stop may end sooner.
        steps_per_epoch: Optimiser steps between two validations.
        batch_size: Patches per step.
        patch_voxels: Patch size at the task's spacing.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's.
        patience_epochs: Validations without improvement before stopping.
        validation_fraction: Share of the patients used to choose the best epoch.
        holdout_fraction: Share of the patients kept frozen for the promotion gate.
        gate_margin: A label's mean Dice on the holdout may fall by at most this much.
        new_share: Share of the patches taken from cases that the version a training starts from has not learned, as far
            as they show what is drawn; 0 takes all cases alike.
        warm_share: A training from an earlier version takes this share of the epochs and of the learning rate, or the
            share of its cases that are new if that is larger; 1 always takes all.
        trial_share: Where a training tries both an earlier version and random weights to start from, each takes this
            share of the epochs before the better one is gone on with; 1 trains both to the end.
        ema: Decay of a moving average of the weights, kept where it validates better than the weights; 0 for none.
        layer_decay: Share of the learning rate for the first layer in a training from an earlier version; the last
            takes all of it, those between rise by equal factors. 1 trains all alike.
        sharpness: Radius within which a step looks for the worst loss, to descend from there (SAM); 0.05 is usual and
            takes twice the time; 0 for none.
        unlabelled_weight: Weight of the agreement with a mean teacher on images without labels, 1 is usual; 0 for none.
        head_epochs: Of a training from an earlier version, the first epochs teach the last layer alone, then all.
        loss: By name (`LOSSES`); empty for the usual one of the task's kind.
        class_weights: Of findings, how much more the rarer answer weighs: 1 by the inverse of its share, 0 not at all.
        mixup: Of findings, the parameter of the share by which two images are mixed, 0.2 is usual; 0 for none.
        augmentation: Strength of the random changes, 1 is usual; 0 shows whether a network can fit its cases at all.
        seed: Of sampling, augmentation and initialisation.
        processes: That share each batch, one per GPU or on the CPU; the result is that of one process.
    """

    max_epochs: int = 50
    steps_per_epoch: int = 50
    batch_size: int = 2
    patch_voxels: Voxels = (96, 96, 96)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    patience_epochs: int = 10
    validation_fraction: float = 0.15
    holdout_fraction: float = 0.15
    gate_margin: float = 0.01
    new_share: float = 0.0
    warm_share: float = 1.0
    trial_share: float = 0.2
    ema: float = 0.0
    layer_decay: float = 1.0
    sharpness: float = 0.0
    unlabelled_weight: float = 0.0
    head_epochs: int = 0
    loss: str = ""
    class_weights: float = 0.0
    mixup: float = 0.0
    augmentation: float = 1.0
    seed: int = 0
    processes: int = 1
