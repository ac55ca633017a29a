"""What every kind of inference shares: the draft it gives, how it reads its image, and its face to MONAI Label."""

from __future__ import annotations

import tempfile
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from ..datastores.port import ImageStore, read_image, read_local
from ..errors import InvalidInputError
from ..geometry import Volume
from ..images import write_label
from ..task import TaskSpec

if TYPE_CHECKING:
    from ..dicom.series import Series
    from ..preprocessing import Prepared

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Draft:
    """What one inference gives.

    Attributes:
        label: On the image's grid; a label map of `params["label_names"]`, which may overlap.
        flat: The same with one label index per voxel, for clients and stores of label maps that know no overlap.
        series: The DICOM series it belongs to, None for other files.
        params: JSON for the client: `task`, `label_names`, `timings`; of a network also `model_version`,
            `model_sha256`, `device`, and `plausibility` (`plausibility.Verdict`) where its version knows what is usual.
    """

    label: Volume
    flat: Volume
    series: Series | None
    params: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image that was read and prepared for a task before it is asked about.

    Attributes:
        image: As read.
        series: The DICOM series it belongs to, None for other files.
        prepared: What the network sees.
    """

    image: Volume
    series: Series | None
    prepared: Prepared


class Drafter(InferTask):
    """One task's face to MONAI Label: answers `/info` and `/infer/<task>`. A kind says how it drafts.

    Args:
        spec: The task.
        store: Where image ids are looked up; None if requests always name a local path.
    """

    def __init__(self, spec: TaskSpec, store: ImageStore | None = None) -> None:
        super().__init__(
            type=spec.kind,
            labels=spec.labels.indices,
            dimension=spec.dimension,
            description=spec.description,
            config=dict(spec.config),
        )
        self.spec = spec
        self._store = store

    def is_valid(self) -> bool:
        """Always: a task without a model is listed too, because labels may be drawn for it and it may be trained."""
        return True

    def __call__(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Draft, and write the result.

        Args:
            request: As in `draft`; also `output`, a `Path` of the server's whose suffix decides the format. Without
                it a temporary `.nii.gz` is made, which the caller removes.
            progress: Told a fraction and a phrase.
            cancelled: Asked between units of work.

        Returns:
            The file and `Draft.params`.

        Raises:
            CarinaError: As `draft` does.
        """
        draft = self.draft(request, progress=progress, cancelled=cancelled)
        output = request.get("output")
        if not isinstance(output, Path):
            with tempfile.NamedTemporaryFile(prefix=f"{self.spec.name}-", suffix=".nii.gz", delete=False) as file:
                output = Path(file.name)
        with timed(draft.params["timings"], "write"):
            write_label(output, draft.flat)
        return str(output), draft.params

    @abstractmethod
    def draft(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Draft:
        """Run the task on one image.

        Args:
            request: `image`: an image id, or a `Path` that the server itself made (text is never taken for a path);
                and the kind's options and prompts.
            progress: Told a fraction and a phrase.
            cancelled: Asked between units of work.

        Raises:
            InvalidInputError: If an option makes no sense.
            CarinaError: As reading the image does.
        """

    def _read(self, image: object) -> tuple[Volume, Series | None]:
        if isinstance(image, Loaded):
            return image.image, image.series
        if isinstance(image, str) and image and self._store is not None:
            return read_image(self._store, image)
        if isinstance(image, Path):
            return read_local(image)
        raise InvalidInputError("An inference must name an image of the datastore, got none.")


@contextmanager
def timed(timings: MutableMapping[str, float], name: str) -> Iterator[None]:
    """Note the seconds that the block took under `name`."""
    started = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - started, 3)
