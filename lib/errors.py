"""Every error carina raises, as one tree; each class names its HTTP status once.

A message reads `<what> must <rule>, got <value>. <next step>.` and never holds patient data.

    CarinaError                    500  anything carina raises on purpose
    ├── InvalidInputError          422  the caller sent something that cannot be right
    │   ├── UnsafeIdError          400  an id, tag or file name that could leave its folder
    │   ├── GeometryError          422  grids, affines or spacings that do not fit
    │   ├── DicomError             422  not DICOM, or DICOM that cannot be used
    │   │   └── SeriesError        422  a series that would give a wrong grid
    │   ├── LabelError             422  unknown, duplicate or ambiguous labels
    │   ├── ArchiveError           422  an archive that is broken or unpacks to too much
    │   └── TooLargeError          413  an upload over the limit
    ├── ForbiddenError             403  right in itself, but not allowed here
    ├── NotFoundError              404  a name or id that does not exist
    │   ├── UnknownNameError       404  …not in a registry; says what was probably meant
    │   ├── UnknownImageError      404
    │   ├── UnknownLabelError      404
    │   ├── UnknownModelError      404
    │   └── UnknownJobError        404
    ├── ConflictError              409  right in itself, but not now
    │   ├── NoModelError           409  the task has no trained model yet
    │   ├── BusyError              429  the queue is full or the job is already running
    │   └── CancelledError         409  the work was cancelled on request
    ├── DuplicateNameError         500  two registrations of one name
    ├── ConfigurationError         500  settings or a task declaration that contradict themselves
    ├── MissingDependencyError     501  an optional part is not installed
    ├── PacsError                  502  the PACS refused, failed or answered nonsense
    │   └── PacsTimeoutError       504
    ├── PeerError                  500  a process that worked on the same training has ended
    ├── OutOfMemoryError           503  every rung of the memory ladder failed
    └── StorageError               507  the disk is full or not writable
"""

from __future__ import annotations

import errno
from typing import ClassVar


class CarinaError(Exception):
    """Base of every error carina raises on purpose."""

    http_status: ClassVar[int] = 500


class InvalidInputError(CarinaError):
    """The caller sent something that cannot be right."""

    http_status = 422


class UnsafeIdError(InvalidInputError):
    """An id, tag or file name could leave the folder it belongs to."""

    http_status = 400


class GeometryError(InvalidInputError):
    """Grids, affines or spacings do not fit."""


class DicomError(InvalidInputError):
    """Input is not DICOM, or is DICOM that cannot be used."""


class SeriesError(DicomError):
    """A series would give a wrong grid: missing, duplicate or inconsistent slices."""


class LabelError(InvalidInputError):
    """Labels are unknown, duplicate or ambiguous."""


class ArchiveError(InvalidInputError):
    """An archive is broken, escapes its folder or unpacks to too much."""


class TooLargeError(InvalidInputError):
    """An upload is larger than the limit."""

    http_status = 413


class ForbiddenError(CarinaError):
    """Right in itself, but not allowed here."""

    http_status = 403


class NotFoundError(CarinaError):
    """A name or id does not exist."""

    http_status = 404


class UnknownNameError(NotFoundError):
    """A name is not in its registry."""


class UnknownImageError(NotFoundError):
    """An image id is in no datastore."""


class UnknownLabelError(NotFoundError):
    """No annotation of that id and tag is stored."""


class UnknownModelError(NotFoundError):
    """A task has no model version of that name."""


class UnknownJobError(NotFoundError):
    """No job of that id is known."""


class ConflictError(CarinaError):
    """Right in itself, but not in the present state."""

    http_status = 409


class NoModelError(ConflictError):
    """A task has no trained model yet."""


class BusyError(ConflictError):
    """The queue is full, or the job is already running."""

    http_status = 429


class CancelledError(ConflictError):
    """The work was cancelled on request."""


class DuplicateNameError(CarinaError):
    """Two registrations share one name."""


class ConfigurationError(CarinaError):
    """Settings or a task declaration contradict themselves."""


class MissingDependencyError(CarinaError):
    """An optional part is not installed."""

    http_status = 501


class PacsError(CarinaError):
    """The PACS refused, failed or answered nonsense."""

    http_status = 502


class PacsTimeoutError(PacsError):
    """The PACS did not answer in time."""

    http_status = 504


class PeerError(CarinaError):
    """A process that worked on the same training has ended before it."""


class OutOfMemoryError(CarinaError):
    """Every rung of the memory ladder failed."""

    http_status = 503


class StorageError(CarinaError):
    """The disk is full or not writable."""

    http_status = 507


def is_full(error: OSError) -> bool:
    """Whether the system refused for want of room on a disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def storage_error(error: OSError) -> StorageError:
    """What to say of a file or folder that the system refused."""
    if is_full(error):
        return StorageError("The disk must have room, and is full. Free some space, try again.")
    return StorageError(
        f"'{error.filename}' must be readable or writable, got '{error.strerror}'. Check the path and its permissions."
    )
