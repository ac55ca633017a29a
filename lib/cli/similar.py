"""`carina similar`: the images that look most like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInputError, NotFoundError
from ..registry import find_tasks
from ..settings import Settings
from .options import DeviceOption, JsonOption, StoreOption, UserOption
from .output import Report, command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..annotations.looks import KeptLook
    from ..annotations.store import AnnotationStore
    from ..datastores.port import ImageStore
    from ..jobs.look import Looking
    from ..task import TaskSpec


def similar(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="An image's id, or a DICOM folder, NIfTI, NRRD or PNG file.")
    ],
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Whose model compares.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many are listed.")] = 10,
    store: StoreOption = None,
    user: UserOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """List the images most like one, by the features of the task's served model, or of the image alone without one.

    Images that the model has not looked at yet are looked at first and remembered; the next time that is quick.

    Examples: [bold]carina similar 1.2.840.1 --task thorax_ct[/],
    [bold]carina similar new.nii.gz --task thorax_ct --store images/ --count 3[/]
    """
    with command(as_json=as_json) as output:
        spec = find_tasks().get(task)
        from ..annotations.looks import NO_MODEL
        from ..annotations.store import open_annotations
        from ..jobs.look import looking_with
        from ..models.store import ModelStore
        from ..networks.factory import require_network
        from ..strategies.space import nearest
        from .drafting import read_any
        from .stores import image_store

        require_network(spec)
        settings = Settings()
        models = ModelStore(settings.models_dir)
        served = models.served(spec.name)
        version = served.version if served else NO_MODEL
        looking = looking_with(models, spec, version, device=device)
        annotations = open_annotations(settings)
        try:
            with image_store(settings, store, user=user) as images:
                with output.progress(f"Look with {spec.name} {version}") as report:
                    seen = _look_at_all(images, annotations, spec, version, looking, report)
                asked = seen.pop(image, None) or looking(read_any(image, store_url=store, user=user)[0])
        finally:
            annotations.close()
        found = nearest(asked.embedding, {name: look.embedding for name, look in seen.items()}, count=count)
        output.table(f"Most like {image}", ["Image", "Distance"], [[name, f"{far:.2f}"] for name, far in found])
        output.result(
            {
                "image": image,
                "task": spec.name,
                "model_version": version or None,
                "similar": [{"image": name, "distance": round(far, 4)} for name, far in found],
            }
        )


def _look_at_all(
    images: ImageStore, annotations: AnnotationStore, spec: TaskSpec, version: str, looking: Looking, report: Report
) -> dict[str, KeptLook]:
    """Looks of one version at every image of the task's modalities; what cannot be read is passed over."""
    from ..datastores.port import read_image

    kept: Mapping[str, KeptLook] = {}
    gallery = annotations.looks.newest(spec.name)
    if gallery is not None and gallery.model_version == version:
        kept = gallery.looks
    wanted = [record.image_id for record in images.list_images() if spec.takes(record.modality)]
    seen = {image_id: kept[image_id] for image_id in wanted if image_id in kept}
    missing = [image_id for image_id in wanted if image_id not in kept]
    for position, image_id in enumerate(missing):
        report(position / len(missing), f"image {position + 1} of {len(missing)}")
        try:
            seen[image_id] = looking(read_image(images, image_id)[0])
        except (InvalidInputError, NotFoundError):
            continue
        annotations.looks.put(image_id, seen[image_id], task=spec.name, model_version=version)
    return seen
