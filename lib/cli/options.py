"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InvalidInputError

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of stdout; all else goes to stderr.")
]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="A task's name, as `carina tasks` lists it.")]
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="Such as v3.")]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:<n>; auto takes a GPU if there is one.")
]
ImagesOption = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="Folder of images: <id>.nii.gz, or one DICOM folder per id.")
]
LabelsOption = Annotated[
    Path,
    typer.Option(
        "--labels",
        metavar="DIR|CSV",
        help="Folder of labels: <id>.nii.gz with labels.json (name → value), or masks/<id>/<structure>.png; "
        "of findings a table with the columns image and 1, 0 or nothing per finding.",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="orthanc+http://host:8042, dicomweb+https://host/dicom-web, or a folder. "
        "Default: the running server's, else carina's own Orthanc.",
    ),
]
UserOption = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="NAME", help="User of the PACS; the password is read from the variable CARINA_PACS_PASSWORD."
    ),
]

MaxEpochsOption = Annotated[int | None, typer.Option("--max-epochs", help="Upper limit of epochs.")]
StepsOption = Annotated[int | None, typer.Option("--steps-per-epoch", help="Between two validations.")]
ProcessesOption = Annotated[
    int | None,
    typer.Option("--processes", help="That share each batch, one per GPU, or on the CPU; torchrun sets it."),
]
TrainerOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other trainer option, such as patch_voxels=64,64,64."),
]


def three_numbers(text: str, *, option: str) -> tuple[float, float, float]:
    """Read `3.5,3.5,4` (or one number for all three).

    Raises:
        InvalidInputError: If it is anything else.
    """
    parts = text.replace("x", ",").split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise InvalidInputError(f"Option {option} must be three numbers with commas, got '{text}'. Try 3.5,3.5,4.")
    return numbers[0], numbers[1], numbers[2]


def three_sizes(text: str, *, option: str) -> tuple[int, int, int]:
    """Read `96,96,64` (or one number for all three).

    Raises:
        InvalidInputError: If it is anything else.
    """
    numbers = three_numbers(text, option=option)
    if any(number != int(number) or number < 1 for number in numbers):
        raise InvalidInputError(f"Option {option} must be three whole numbers above 0, got '{text}'. Try 96,96,64.")
    return int(numbers[0]), int(numbers[1]), int(numbers[2])


def trainer_options(named: Mapping[str, object], others: list[str] | None) -> dict[str, object]:
    """What a command line says of a training, for `trainers.options.override`.

    Args:
        named: Trainer option → the value that an option of its own gave it; None where it was not given.
        others: What `TrainerOption` gave, which counts more.

    Raises:
        InvalidInputError: If one of them is no `name=value`.
    """
    given = {name: value for name, value in named.items() if value is not None}
    return given | assignments(others or [], option="--set")


def assignments(texts: list[str], *, option: str) -> dict[str, str]:
    """Read `name=value` pairs.

    Raises:
        InvalidInputError: If one has no equals sign.
    """
    pairs = [text.partition("=") for text in texts]
    wrong = [name for name, sign, _ in pairs if not sign]
    if wrong:
        raise InvalidInputError(f"Option {option} must be name=value, got '{wrong[0]}'. Try {option} batch_size=4.")
    return {name.strip(): value.strip() for name, _, value in pairs}
