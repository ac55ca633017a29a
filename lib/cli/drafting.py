"""Drafting without a server: the network of a model version, and images from wherever they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..datastores.ids import check_id
from ..datastores.port import read_image, read_local
from ..errors import InvalidInputError, NoModelError
from ..geometry import Volume
from ..image_formats import split_suffix
from ..models.loading import load_into
from ..models.public_weights import import_public
from ..models.store import ModelStore
from ..models.version import ModelVersion
from ..settings import Settings
from ..task import TaskSpec

if TYPE_CHECKING:
    from torch import nn

    from ..dicom.series import Series
    from .output import Report


@dataclass(frozen=True)
class Drafter:
    """One version of one task, ready to draft.

    Attributes:
        spec: The task.
        version: Whose weights the network has.
        network: In evaluation mode.
        device: As `infers.sliding_window.predict` takes it.
        overlap: Of the windows; None for the task's.
    """

    spec: TaskSpec
    version: ModelVersion
    network: nn.Module
    device: str = "auto"
    overlap: float | None = None

    def __call__(self, image: Volume, report: Report = lambda fraction, phrase: None) -> Volume:
        """The label map of one image, on its grid."""
        from ..infers.sliding_window import predict
        from ..preprocessing import prepare

        prepared = prepare(image, self.spec)
        return predict(
            self.network, prepared, spec=self.spec, device=self.device, overlap=self.overlap, progress=report
        )


def load_drafter(
    spec: TaskSpec, *, version: str | None = None, device: str = "auto", overlap: float | None = None
) -> Drafter:
    """Load a version; without a name the served one, or public weights a user put into the model folder.

    Raises:
        NoModelError: If the task has no model.
        UnknownModelError: If there is no such version.
        InvalidInputError: If overlap or device makes no sense.
    """
    from ..networks.devices import resolve_device
    from ..networks.factory import build_network, require_network

    require_network(spec)
    if overlap is not None and not 0 <= overlap < 1:
        raise InvalidInputError(f"Option --overlap must lie in [0, 1), got {overlap}.")
    resolve_device(device)
    models = ModelStore(Settings().models_dir)
    found = models.get(spec.name, version) if version else models.served(spec.name) or import_public(models, spec)
    if found is None:
        raise NoModelError(
            f"Task '{spec.name}' must have a model, got none in {models.folder(spec.name)}. "
            f"Train one with `carina train {spec.name} --images DIR --labels DIR`."
        )
    network = build_network(spec)
    load_into(network, found, spec=spec)
    return Drafter(spec, found, network.eval(), device, overlap)


def local_path(image: str) -> Path | None:
    """The file or DICOM folder that is meant; None for an id of the datastore.

    Raises:
        InvalidInputError: If the text is neither a path nor an id.
    """
    path = Path(image)
    if path.exists():
        return path
    if "/" in image or split_suffix(image)[1]:
        raise InvalidInputError(f"'{image}' must be a file, a DICOM folder or an image id, but there is no such file.")
    return None


def read_any(image: str, *, store_url: str | None, user: str | None) -> tuple[Volume, Series | None]:
    """Read a file, a DICOM folder, or an image of the datastore by its id.

    Raises:
        InvalidInputError: If the text is neither a path nor an id.
        CarinaError: As the readers and the store do.
    """
    path = local_path(image)
    if path is not None:
        return read_local(path)
    from .stores import image_store

    with image_store(Settings(), store_url, user=user) as store:
        return read_image(store, check_id(image))
