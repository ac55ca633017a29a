"""What served tasks draw of a radiograph: where its lungs are, and what can be measured on it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from functools import cached_property
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
_KEPT_DRAWINGS = 4  # two tasks' of the last two images; one is at most some 20 MB


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
            self._drawn[task] = self._drawing.draw(
                task, self._image, digest=self._digest, device=self._device, cancelled=self._cancelled
            )
        return self._drawn[task]

    @cached_property
    def _digest(self) -> bytes:
        """What the image is known by: its pixels and where they lie."""
        array, grid = self._image.array, self._image.grid
        hashed = hashlib.sha256(f"{array.dtype} {array.shape} {array.strides}".encode())
        hashed.update(grid.affine_ras.tobytes())
        hashed.update(array.tobytes(order="A"))
        return hashed.digest()


class Drawing:
    """Draws radiographs with the served models; thread-safe as `SegmentationInfer` is.

    The last few drawings are kept: who asks for findings, then for one heat map after the other, asks of one image.

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
        self._kept: OrderedDict[tuple[str, ...], Volume] = OrderedDict()
        self._lock = threading.Lock()  # guards `_kept`; nothing is called while it is held

    def can(self, task: str = ANATOMY) -> bool:
        """Whether the task is there and has a served model that fits it."""
        served = self._models.served(task) if task in self._tasks else None
        return served is not None and served.fingerprint == self._tasks.get(task).fingerprint()

    def of(self, task: str) -> SegmentationInfer:
        """What draws for a task."""
        return self._infers.setdefault(
            task, SegmentationInfer(self._tasks.get(task), self._models, device=self._device)
        )

    def draw(
        self, task: str, image: Volume, *, digest: bytes, device: str = "auto", cancelled: Cancelled | None = None
    ) -> tuple[str, Volume]:
        """Which version is served, and its label map of an image; made once for as long as it is kept.

        Args:
            task: Which task draws.
            image: `(X, Y, 1)` radiograph.
            digest: Hash of the image, the same only for the same image.
            device: Where the network is to run.
            cancelled: Asked between windows.

        Raises:
            NoModelError: If the task has no model.
            CarinaError: As `segmentation.segment` does.
        """
        infer = self.of(task)
        version = infer.version()
        key = (task, version.version, version.sha256, device, digest.hex())
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is not None:
            return version.version, kept
        drawn = infer.label_of(image, model_version=version.version, device=device, cancelled=cancelled)
        with self._lock:
            self._kept[key] = drawn
            while len(self._kept) > _KEPT_DRAWINGS:
                self._kept.popitem(last=False)
        return version.version, drawn


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
