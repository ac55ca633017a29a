"""The kinds of inference as data that needs no torch: what a client may send, and the code that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..datastores.port import ImageStore
from ..models.store import ModelStore
from ..task import Kind, TaskSpec
from .options import FINDINGS_OPTIONS, NETWORK_OPTIONS, Option, choice, number
from .prompts import STROKE_KEYS, click_keys, clicks_of, place_keys, place_of, strokes_of

if TYPE_CHECKING:
    from .draft import Drafter


@dataclass(frozen=True, kw_only=True)
class InferKind:
    """One kind.

    Attributes:
        options: What a client may choose, apart from what every inference takes.
        prompt_keys: Keys of a request that `prompts` reads.
        prompts: Turns what a person points at into keys of `Drafter.draft`'s request; raises `InvalidInputError`.
        takes_label: Whether a painted label map may come along.
        build: Makes the code that runs a task.
    """

    options: tuple[Option, ...]
    prompt_keys: Callable[[TaskSpec], frozenset[str]]
    prompts: Callable[[Mapping[str, Any], TaskSpec], dict[str, Any]]
    takes_label: bool
    build: Callable[[TaskSpec, ModelStore, ImageStore | None], Drafter]


def kind_of(spec: TaskSpec) -> InferKind:
    """The kind of a task."""
    return _KINDS[spec.kind]


def build_drafter(spec: TaskSpec, models: ModelStore, store: ImageStore | None = None) -> Drafter:
    """The code that runs a task; imports torch.

    Args:
        spec: The task.
        models: Where its versions are.
        store: Where image ids are looked up; None if requests always name a local path.
    """
    return kind_of(spec).build(spec, models, store)


def _segmentation(spec: TaskSpec, models: ModelStore, store: ImageStore | None) -> Drafter:
    from .segmentation import SegmentationInfer

    return SegmentationInfer(spec, models, store)


def _deepedit(spec: TaskSpec, models: ModelStore, store: ImageStore | None) -> Drafter:
    from .deepedit import DeepEditInfer

    return DeepEditInfer(spec, models, store)


def _classification(spec: TaskSpec, models: ModelStore, store: ImageStore | None) -> Drafter:
    from .classification import ClassificationInfer

    return ClassificationInfer(spec, models, store)


def _scribbles(spec: TaskSpec, models: ModelStore, store: ImageStore | None) -> Drafter:
    from .scribbles import ScribblesInfer

    return ScribblesInfer(spec, store)


_KINDS: Mapping[Kind, InferKind] = {
    "segmentation": InferKind(
        options=NETWORK_OPTIONS,
        prompt_keys=lambda spec: frozenset(),
        prompts=lambda params, spec: {},
        takes_label=False,
        build=_segmentation,
    ),
    "deepedit": InferKind(
        options=NETWORK_OPTIONS,
        prompt_keys=click_keys,
        prompts=clicks_of,
        takes_label=False,
        build=_deepedit,
    ),
    "classification": InferKind(
        options=FINDINGS_OPTIONS,
        prompt_keys=place_keys,
        prompts=place_of,
        takes_label=False,
        build=_classification,
    ),
    "scribbles": InferKind(
        options=(
            number("smoothness", 1.0, lowest=0.0, highest=100.0),
            number("contrast", 0.1, lowest=0.001, highest=10.0),
            choice("connected", "yes", "no"),
        ),
        prompt_keys=lambda spec: STROKE_KEYS,
        prompts=strokes_of,
        takes_label=True,
        build=_scribbles,
    ),
}
