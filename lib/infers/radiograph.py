"""What served tasks draw of a radiograph: where its lungs are, and what can be measured on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..errors import CancelledError, CarinaError
from ..geometry import Volume
from ..label_maps import Mask, mask_of_any
from ..measurements import ANATOMY, LUNG_LABELS, Measurement, anatomy_measured, opacity_share
from ..models.store import ModelStore
from ..regions import Region, region_around
from ..registry import Registry, find_tasks
from ..task import TaskSpec
from .draft import Cancelled
from .segmentation import SegmentationInfer

if TYPE_CHECKING:
    from ..dicom.series import Series

_log = logging.getLogger(__name__)

_OPACITY = "cxr_opacity"


class Radiograph:
    """One image, and what is drawn of it; every task draws it at most once.

    Args:
        image: `(X, Y, 1)` radiograph.
        drawing: Draws it.
        device: Where networks are to run.
        cancelled: Asked between windows.
    """

    def __init__(
        self, image: Volume, drawing: Drawing, *, device: str = "auto", cancelled: Cancelled | None = None
    ) -> None:
        self._image = image
        self._drawing = drawing
        self._device = device
        self._cancelled = cancelled
        self._drawn: dict[str, tuple[str, Volume]] = {}

    def lungs(self) -> Mask:
        """Both lungs, as the served `cxr_anatomy` draws them: boolean on the image's grid.

        Raises:
            NoModelError: If the anatomy has no model.
            CarinaError: As `segmentation.segment` does.
        """
        labels = self._drawing.of(ANATOMY).spec.labels
        return mask_of_any(self._draw(ANATOMY)[1].array, LUNG_LABELS, labels)

    def around_lungs(self) -> Region:
        """The part of the image that a task looks at which looks at the lungs.

        Raises:
            InvalidInputError: If no lungs are drawn.
            CarinaError: As `lungs` does.
        """
        return region_around(self.lungs(), self._image.grid)

    def measured(self, *, pixel_mm: float | None) -> tuple[Measurement, ...]:
        """All that can be measured: the heart beside the thorax, and where `cxr_opacity` is served the opaque share.

        Args:
            pixel_mm: Width of a pixel; None if nobody knows.

        Raises:
            NoModelError: If the anatomy has no model.
            CarinaError: As `segmentation.segment` does.
        """
        version, drawn = self._draw(ANATOMY)
        labels = self._drawing.of(ANATOMY).spec.labels
        found = anatomy_measured(drawn.array, labels, task=ANATOMY, model_version=version, pixel_mm=pixel_mm)
        return (*found, *self._opaque()) if self._drawing.can(_OPACITY) else found

    def _opaque(self) -> list[Measurement]:
        version, drawn = self._draw(_OPACITY)
        labels = self._drawing.of(_OPACITY).spec.labels
        shares = opacity_share(mask_of_any(drawn.array, labels.names, labels), self.lungs())
        return [
            Measurement(name=name, value=value, task=_OPACITY, model_version=version) for name, value in shares.items()
        ]

    def _draw(self, task: str) -> tuple[str, Volume]:
        """Which version drew, and its label map."""
        if task not in self._drawn:
            infer = self._drawing.of(task)
            version = infer.version().version
            self._drawn[task] = (
                version,
                infer.label_of(self._image, model_version=version, device=self._device, cancelled=self._cancelled),
            )
        return self._drawn[task]


class Drawing:
    """Draws radiographs with the served models; thread-safe as `SegmentationInfer` is.

    Args:
        models: Where the versions are.
        device: Where networks run.
        tasks: Where the tasks are found.
    """

    def __init__(self, models: ModelStore, *, device: str = "auto", tasks: Registry[TaskSpec] | None = None) -> None:
        self._models = models
        self._device = device
        self._tasks = tasks or find_tasks()
        self._infers: dict[str, SegmentationInfer] = {}

    def can(self, task: str = ANATOMY) -> bool:
        """Whether the task is there and has a served model that fits it."""
        served = self._models.served(task) if task in self._tasks else None
        return served is not None and served.fingerprint == self._tasks.get(task).fingerprint()

    def of(self, task: str) -> SegmentationInfer:
        """What draws for a task."""
        return self._infers.setdefault(
            task, SegmentationInfer(self._tasks.get(task), self._models, device=self._device)
        )


def measured_if_possible(radiograph: Radiograph, series: Series | None) -> tuple[Measurement, ...]:
    """Measurements that nobody asked for: what fails is logged, and no reason to fail.

    Raises:
        CancelledError: If the work was cancelled.
    """
    try:
        return radiograph.measured(pixel_mm=pixel_mm_of(series))
    except CancelledError:
        raise
    except CarinaError as error:
        _log.warning("A radiograph could not be measured: %s", error)
        return ()


def pixel_mm_of(series: Series | None) -> float | None:
    """Width of a pixel as the header tells; None of a file without a header, and where it says nothing."""
    return None if series is None else series.radiograph_pixel_mm
