"""What a task declares, as frozen data that needs no torch; a task's file imports all it needs from here."""

from .intensity import Intensity, Percentiles, Window, ZScoreThenRange
from .spec import NO_NETWORK, NetworkSpec, PublicWeights, TaskSpec
from .terms import LOSSES, LUNGS, PROJECTIONS, WHOLE, Kind, Layout, Spacing, Voxels
from .trainer_options import TrainerOptions

__all__ = [
    "LOSSES",
    "LUNGS",
    "NO_NETWORK",
    "PROJECTIONS",
    "WHOLE",
    "Intensity",
    "Kind",
    "Layout",
    "NetworkSpec",
    "Percentiles",
    "PublicWeights",
    "Spacing",
    "TaskSpec",
    "TrainerOptions",
    "Voxels",
    "Window",
    "ZScoreThenRange",
]
