"""Cases of tasks that look at the lungs, cut out for a training or a measurement exactly as for an inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from ..measurements import ANATOMY
from ..models.store import ModelStore
from ..task import LUNGS, TaskSpec
from ..trainers.cases import FindingsCase, LabelledImage

if TYPE_CHECKING:
    from ..geometry import Volume
    from ..infers.radiograph import Drawing

C = TypeVar("C", bound=LabelledImage)


def on_roi(cases: Sequence[C], spec: TaskSpec, models: ModelStore, *, device: str = "auto") -> list[C]:
    """The cases as the task looks at them; unchanged for a task that looks at whole images.

    Their revisions name the anatomy's version: another one may cut out something else.

    Args:
        cases: Of the task.
        spec: The task.
        models: Where the anatomy's versions are.
        device: Where it runs.

    Raises:
        NoModelError: If the anatomy has no model.
    """
    if spec.roi != LUNGS:
        return list(cases)
    from ..infers.radiograph import Drawing  # torch takes seconds

    drawing = Drawing(models, device=device)
    drawn_by = drawing.of(ANATOMY).version().sha256[:16]

    def cut(case: FindingsCase) -> FindingsCase:
        return dataclasses.replace(
            case,
            load=partial(_on_lungs, case.load, drawing, device),
            revision=f"{case.revision}-{drawn_by}",
            readings=tuple(cut(one) for one in case.readings),
        )

    return [cast(C, cut(cast(FindingsCase, case))) for case in cases]


def view_of(spec: TaskSpec, models: ModelStore, *, device: str = "auto") -> Callable[[Volume], Volume]:
    """What a task looks at of any image.

    Args:
        spec: The task.
        models: Where the anatomy's versions are.
        device: Where it runs.
    """
    if spec.roi != LUNGS:
        return lambda image: image
    from ..infers.radiograph import Drawing  # torch takes seconds

    drawing = Drawing(models, device=device)
    return lambda image: _on_lungs(lambda: image, drawing, device)


def _on_lungs(load: Callable[[], Volume], drawing: Drawing, device: str) -> Volume:
    from ..infers.radiograph import Radiograph

    image = load()
    return Radiograph(image, drawing, device=device).around_lungs().crop(image)
