"""From a version's files to a network: the weights, checked against their hash and the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError, UnknownModelError
from ..task import TaskSpec
from .files import sha256_of
from .version import ModelVersion
from .weights import check_state, load_state

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_weights(version: ModelVersion) -> dict[str, Tensor]:
    """The weights on the CPU, after checking their hash.

    Raises:
        UnknownModelError: If the file is gone.
        ConfigurationError: If it is not the file that was stored.
    """
    check_weights(version)
    try:
        return load_state(version.weights_path)
    except FileNotFoundError as error:
        raise weights_missing(version) from error


def check_weights(version: ModelVersion) -> None:
    """Make sure that the weights are those that were stored.

    Raises:
        UnknownModelError: If the file is gone.
        ConfigurationError: If it is not the file that was stored.
    """
    try:
        digest = sha256_of(version.weights_path)
    except FileNotFoundError as error:
        raise weights_missing(version) from error
    if digest != version.sha256:
        raise ConfigurationError(
            f"Weights of '{version.task}' {version.version} must have the SHA-256 in model.json, got another one: "
            f"the file was changed. Restore it, or roll back with `carina models rollback {version.task}`."
        )


def load_into(network: nn.Module, version: ModelVersion, *, spec: TaskSpec) -> None:
    """Load a version's weights into a task's network.

    Raises:
        ConfigurationError: If the version was made for other labels, spacing, intensities or network.
    """
    what = f"Model '{version.task}' {version.version}"
    if version.fingerprint != spec.fingerprint():
        raise ConfigurationError(
            f"{what} must match the task's labels, spacing, intensities and network, got a version made for "
            f"others{_label_difference(version, spec)}. Train a new version or promote one that matches."
        )
    state = load_weights(version)
    check_state(state, network, what=what)
    network.load_state_dict(state)


def weights_missing(version: ModelVersion) -> UnknownModelError:
    """What is said of a version whose weights are gone, and why they are."""
    pruned = version.pruned()
    why = f"were taken away on {pruned['when']} ({pruned['reason']})" if pruned else "are missing"
    return UnknownModelError(
        f"Weights of '{version.task}' {version.version} must be there, but {why}. Choose another version, or put the "
        f"file back."
    )


def _label_difference(version: ModelVersion, spec: TaskSpec) -> str:
    ours, theirs = set(spec.labels.names), set(version.labels)
    parts = [f"without {', '.join(sorted(ours - theirs)[:3])}"] if ours - theirs else []
    parts += [f"with {', '.join(sorted(theirs - ours)[:3])}"] if theirs - ours else []
    return f" ({'; '.join(parts)})" if parts else ""
