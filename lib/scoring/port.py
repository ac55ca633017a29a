"""What a scoring method is: it turns what a network says about an image into one number, for strategies to rank by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

Sampling = Literal["once", "dropout", "augmented", "members", "drawing", "pieces"]
"""How a network is asked: once, several times with its dropout layers at work, of changed images, each of several
versions once, for its drawing, or for the pieces of it."""


@runtime_checkable
class ScoringMethod(Protocol):
    """One module of `lib/scoring` defines `METHOD`, an object of this form."""

    @property
    def name(self) -> str:
        """What clients ask for."""
        ...

    @property
    def description(self) -> str:
        """One sentence for a person choosing a method."""
        ...

    @property
    def sampling(self) -> Sampling:
        """How the network is to be asked."""
        ...

    def score(self, parts: Iterable[Tensor]) -> float:
        """Score one image.

        Args:
            parts: `(classes, x, y, z)` logits of parts of the image, each voxel once, in any order; class 0 is the
                background. They come one at a time and are not kept. A method that asks more than once gets
                `(samples, classes, x, y, z)`. One that looks at the drawing gets `(structures,)` how odd each is,
                0–1; one that looks at pieces `(structures, 2)` the volume of each, and of what of it lies outside its
                largest piece.

        Returns:
            0–1; the higher, the more a person's label of this image would teach.
        """
        ...
