"""Findings of many images: some are read, and answers noted, while the network looks at others, several at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..annotations.drafts import drafts_in, keep_findings
from .ahead import Made, made_ahead, outcome_of
from .images import Progress, persons_work
from .kind import Work

if TYPE_CHECKING:
    from ..annotations.annotation import Annotation
    from ..infers.classification import ClassificationInfer
    from ..models.version import ModelVersion
    from ..preprocessing import Prepared

_TOGETHER = 8
"""Through the network, and in the first group."""
_MOST_TOGETHER = 32
"""Read and noted: asking and telling the database costs about as much for one image as for 32."""
_AHEAD = 2
_THREADS = 2


class FindingsBatch:
    """The images of one job, asked about in their order.

    A draft of findings is their probabilities: a note on the image, which `drafts.drafts_of` gives back, and not a
    version, which would have to say yes or no. The job's events tell it as well. Answers are noted before they are
    told, so that a job which is stopped in between passes over them afterwards.

    Args:
        work: The job's.
        infer: Of the task.
        version: Whose answers are wanted.
        images: Ids.
    """

    def __init__(
        self, work: Work, infer: ClassificationInfer, version: ModelVersion, images: Sequence[str]
    ) -> None:  # fmt: skip
        self._work = work
        self._infer = infer
        self._version = version
        self._outcomes = self._each(images)
        self._told: dict[str, list[dict[str, Any]]] = {}

    def one(self, image_id: str, tell: Progress) -> str:
        """What became of the next image; to be called for all of them in their order.

        Raises:
            CarinaError: As reading it does.
        """
        return next(self._outcomes).get()

    def details(self, image_id: str) -> Mapping[str, Any]:
        """What the event of an image says besides its outcome; once."""
        told = self._told.pop(image_id, None)
        return {} if told is None else {"prediction": told}

    def close(self) -> None:
        """Read no more."""
        self._outcomes.close()

    def _each(self, images: Sequence[str]) -> Generator[Made[str, str], None, None]:
        from ..preprocessing import Prepared  # torch takes seconds

        with (
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="carina-ahead-notes") as notes,
            closing(made_ahead(growing_groups(images), self._read, ahead=_AHEAD, threads=_THREADS)) as read,
        ):
            before: list[Made[str, str]] = []
            noted: Future[None] = notes.submit(lambda: None)
            for made in read:
                group = made.get()
                told = self._tell({one.key: one.value for one in group if isinstance(one.value, Prepared)})
                noted.result()
                noted = notes.submit(self._note, told)
                yield from before
                before = [
                    Made(one.key, "drafted" if isinstance(one.value, Prepared) else one.value, one.error)
                    for one in group
                ]
            noted.result()
            yield from before

    def _read(self, images: Sequence[str]) -> list[Made[str, Prepared | str]]:
        """Of each image what the network is to see, or why it need not."""
        versions = self._work.annotations.versions_of_all(images)
        infos = self._work.annotations.image_infos(images)
        return [
            outcome_of(image_id, lambda one: self._passed_over(versions[one], infos[one]) or self._prepared(one))
            for image_id in images
        ]

    def _passed_over(self, versions: Sequence[Annotation], info: Mapping[str, Any]) -> str | None:
        spec = self._work.spec
        if any(persons_work(item, spec) for item in versions if not item.withdrawn):
            return "labelled"
        mine = (spec.name, self._version.version)
        answered = any((one.task, one.model_version) == mine and one.prediction for one in drafts_in(info))
        return "already_drafted" if answered else None

    def _prepared(self, image_id: str) -> Prepared:
        return self._infer.prepared(image_id, roi=self._work.options.get("roi"))

    def _tell(self, prepared: Mapping[str, Prepared]) -> dict[str, list[dict[str, Any]]]:
        asked = list(prepared.values())
        answers = [
            answer
            for start in range(0, len(asked), _TOGETHER)
            for answer in self._infer.tell_all(asked[start : start + _TOGETHER], model_version=self._version.version)
        ]
        return {
            image_id: [asdict(one) for one in answer] for image_id, answer in zip(prepared, answers, strict=True)
        }  # fmt: skip

    def _note(self, told: Mapping[str, list[dict[str, Any]]]) -> None:
        keep_findings(
            self._work.annotations,
            told,
            task=self._work.spec.name,
            model_version=self._version.version,
            model_sha256=self._version.sha256,
            user=self._work.user,
        )
        self._told |= told


def growing_groups(images: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split what is worked on together: few at first, so that the first answers come soon, then more at once."""
    start, size = 0, _TOGETHER
    while start < len(images):
        yield images[start : start + size]
        start, size = start + size, min(2 * size, _MOST_TOGETHER)
