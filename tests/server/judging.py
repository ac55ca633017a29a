"""What a reader says of a place in an image, for tests."""

from __future__ import annotations

from typing import Any

from carina.annotations.annotation import Annotation
from carina.annotations.store import AnnotationStore
from carina.annotations.submit import submit_findings
from carina.regions import Place
from carina.registry import find_tasks


def judge(annotations: AnnotationStore, image_id: str, place: Place, *, answer: bool, **more: Any) -> Annotation:
    """Submit whether there is a malignant nodule at a place."""
    return submit_findings(
        annotations,
        image_id=image_id,
        findings={"malignant_nodule": answer},
        spec=find_tasks().get("nodule_malignancy"),
        place=place,
        **more,
    )
