"""The demo's loop, through the REST protocol and MONAI Label's own client, as a viewer would drive it.

Studies into the PACS → a weak first model from three corrected cases → a draft of the held-out study → corrections of
all other studies → training → promotion by the gate → a better draft → the corrected label as SEG in the PACS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from ..errors import CarinaError, PacsError
from ..geometry import Volume, resample_label
from ..images import read_label, write_label
from ..models.metrics import compare, mean_of_defined
from ..registry import find_tasks
from ..task import TaskSpec
from .demo_studies import Study, make_studies, seg_on_grid

if TYPE_CHECKING:
    from ..server.run import ServerAddress

TASK = "thorax_ct"
FIRST_CASES = 3
# Weak, but better than chance on a holdout patient: with 12 steps it is not, and the gate keeps it back.
_WEAK: Mapping[str, int] = {"max_epochs": 1, "steps_per_epoch": 30}
_USER = "demo"
_POLL_S = 0.3
_DELIVERY_TIMEOUT_S = 60.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Draft:
    """One draft of the held-out study: where it is from, and its Dice per label against the truth."""

    model_version: str
    label: Volume
    dice: Mapping[str, float]

    @property
    def mean_dice(self) -> float:
        """Mean over the labels."""
        return mean_of_defined(list(self.dice.values()))


@dataclass(frozen=True, eq=False, kw_only=True)
class DemoResult:
    """All that the loop showed.

    Attributes:
        held_out: The study that no training saw.
        before: Drafted by the weak first version.
        after: Drafted by the second.
        promoted: Whether the gate let the second version replace the first.
        reason: The gate's.
        leaked: Whether the held-out study is among the training's images.
        sop_instance_uid: Of the SEG in the PACS.
        seg_identical: Whether it holds every voxel that was submitted, and no other.
    """

    held_out: Study
    before: Draft
    after: Draft
    promoted: bool
    reason: str
    leaked: bool
    sop_instance_uid: str
    seg_identical: bool


@dataclass(kw_only=True)
class DemoLoop:
    """One run against a running server.

    Attributes:
        address: Of server and PACS.
        folder: For archives and labels on their way.
        cases: How many studies; the last one is held out.
        seed: Of the first patient.
        epochs: Upper limit of the second training; None for the task's own.
        step: Makes a progress bar of a title.
    """

    address: ServerAddress
    folder: Path
    cases: int
    seed: int
    epochs: int | None
    step: Callable[[str], Any]
    spec: TaskSpec = field(default_factory=lambda: find_tasks().get(TASK))

    def run(self) -> DemoResult:
        """The whole loop.

        Raises:
            CarinaError: If a step fails; the message says which answer was expected.
        """
        from monailabel.client import MONAILabelClient

        self.folder.mkdir(parents=True, exist_ok=True)
        self._client = MONAILabelClient(self.address.url, tmpdir=str(self.folder), client_id=_USER)
        with httpx.Client(base_url=self.address.url, trust_env=False, timeout=60.0) as self._http, _in_words():
            *others, held_out = self._bring_studies()
            self._submit_all(others[:FIRST_CASES], "Correct the first cases")
            self._train("Train a weak first model", _WEAK)
            before = self._draft(held_out, "Draft the held-out study")
            self._submit_all(others[FIRST_CASES:], "Correct the other cases")
            outcome = self._train("Train on all corrections", {"max_epochs": self.epochs} if self.epochs else {})
            after = self._draft(held_out, "Draft the held-out study again")
            sop_instance_uid, read_back = self._deliver(held_out)
            return DemoResult(
                held_out=held_out,
                before=before,
                after=after,
                promoted=bool(outcome["promoted"]),
                reason=str(outcome["reason"]),
                leaked=held_out.image_id in self._images_trained_on(str(outcome["version"])),
                sop_instance_uid=sop_instance_uid,
                seg_identical=np.array_equal(read_back.array, held_out.truth.array),
            )

    def _bring_studies(self) -> list[Study]:
        with self.step(f"Bring {self.cases} phantom studies into the PACS") as report:
            studies = make_studies(
                self.cases, seed=self.seed, folder=self.folder, report=lambda done, text: report(done / 2, text)
            )
            for number, study in enumerate(studies):
                self._client.upload_image(str(study.archive), image_id=study.image_id)
                study.archive.unlink()
                report(0.5 + (number + 1) / self.cases / 2, f"imported {study.patient_id}")
        return studies

    def _submit_all(self, studies: list[Study], title: str) -> None:
        with self.step(title) as report:
            for number, study in enumerate(studies):
                self._submit(study)
                report((number + 1) / len(studies), f"submitted {study.patient_id}")

    def _submit(self, study: Study) -> str:
        """Submit the exact truth as a person's correction; the annotation's id."""
        file = self.folder / f"{study.patient_id}.nii.gz"
        write_label(file, study.truth)
        info = [{"name": name, "idx": index} for name, index in self.spec.labels.indices.items()]
        answer = self._client.save_label(study.image_id, str(file), tag="final", params={"label_info": info})
        file.unlink()
        return str(answer["label"])

    def _train(self, title: str, options: Mapping[str, float]) -> dict[str, Any]:
        """Train through REST and wait; the job's result."""
        with self.step(title) as report:
            job = self._client.train_start(TASK, dict(options))["id"]
            offset = 0
            while True:
                page = self._get(f"/carina/jobs/{job}/events", offset=offset)
                offset = page["offset"]
                for event in page["events"]:
                    if "message" in event:
                        report(event["fraction"], event["message"])
                state = self._get(f"/carina/jobs/{job}")
                if state["state"] == "succeeded":
                    result: dict[str, Any] = state["result"]
                    return result
                if state["state"] not in ("queued", "running"):
                    raise CarinaError(f"The training must succeed, got '{state['state']}': {state['error']}")
                time.sleep(_POLL_S)

    def _draft(self, study: Study, title: str) -> Draft:
        """Ask the server for a draft of one study."""
        with self.step(title) as report:
            report(0.1, "waiting for the server")
            file, params = self._client.infer(TASK, study.image_id, {})
            label = resample_label(read_label(Path(file))[0], grid=study.truth.grid)
            Path(file).unlink()
        rows = compare(label, study.truth, labels=self.spec.labels, surface=False)
        return Draft(
            model_version=str(params["model_version"]),
            label=label,
            dice={name: row["dice"] for name, row in rows.items()},
        )

    def _deliver(self, study: Study) -> tuple[str, Volume]:
        """Submit the held-out study's label; the SEG's UID, and what the PACS gives back of it."""
        with self.step("Submit its correction and read the SEG back from the PACS") as report:
            annotation = self._submit(study)
            deadline = time.monotonic() + _DELIVERY_TIMEOUT_S
            while True:
                delivery = self._get("/datastore/label/info", label=annotation, tag="final")["delivery"]
                if delivery["state"] == "delivered":
                    break
                report(0.5, "on its way to the PACS")
                if delivery["state"] != "pending" or time.monotonic() > deadline:
                    raise PacsError(f"The SEG must reach the PACS, but did not: {delivery['last_error']}")
                time.sleep(_POLL_S)
            uid = str(delivery["sop_instance_uid"])
            return uid, seg_on_grid(self._fetch_instance(uid), study.truth.grid, self.spec.labels)

    def _fetch_instance(self, sop_instance_uid: str) -> bytes:
        """A DICOM file straight from Orthanc's own REST interface."""
        login = (self.address.pacs_user or "", self.address.pacs_password or "")
        with httpx.Client(base_url=self.address.pacs_url or "", auth=login, trust_env=False, timeout=60.0) as pacs:
            found = pacs.post("/tools/lookup", content=sop_instance_uid).raise_for_status().json()
            if len(found) != 1:
                raise PacsError(f"The PACS must hold the SEG once, got {len(found)} objects of its UID.")
            return pacs.get(f"/instances/{found[0]['ID']}/file").raise_for_status().content

    def _images_trained_on(self, version: str) -> set[str]:
        """Images that the training of a version used in any part of its split."""
        versions = self._get(f"/carina/models/{TASK}")["versions"]
        data = next(entry["data"] for entry in versions if entry["version"] == version)
        return {str(case["image_id"]) for case in data["cases"]}

    def _get(self, path: str, **query: object) -> dict[str, Any]:
        answer = self._http.get(path, params={name: str(value) for name, value in query.items()})
        if not answer.is_success:
            raise CarinaError(f"The server must answer {path}, got {answer.status_code}: {answer.text[:300]}")
        content: dict[str, Any] = answer.json()
        return content


@contextmanager
def _in_words() -> Iterator[None]:
    """Say in words what the client's and the connection's exceptions mean."""
    from monailabel.client.client import MONAILabelClientException

    try:
        yield
    except MONAILabelClientException as error:
        raise CarinaError(f"The server refused a step of the demo: {error.msg}") from error
    except (httpx.HTTPError, OSError) as error:
        raise CarinaError(f"The server must stay reachable during the demo, got '{error}'. See its log.") from error
