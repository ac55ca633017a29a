"""What must hold after recovery, asked of the server over HTTP and of Orthanc itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import requests

from .labels import Attempt, from_nifti, from_seg
from .world import Image, World


class Checker:
    """Counts what is wrong.

    Every acknowledged label is stored as it was sent, every stored label was sent, and the PACS holds exactly one SEG
    of each, voxel for voxel.

    Args:
        world: To ask.
        wrong: Where counts go.
        notes: Where sentences go.
    """

    def __init__(self, world: World, wrong: Counter[str], notes: list[str]) -> None:
        self._world = world
        self._wrong = wrong
        self._notes = notes
        self._known_versions: set[str] = set()
        self._known_objects: set[str] = set()
        self._sent: dict[str, Attempt] = {}  # by annotation
        self._uids: dict[str, str] = {}  # SOP Instance UID → annotation

    def check(self, run: int, sent: list[Attempt]) -> int:
        """Look at what one run added.

        Returns:
            How many labels are stored that nobody was told about.
        """
        silent = self._check_versions(run, sent)
        self._check_objects(run)
        return silent

    def check_everything_again(self) -> None:
        """Look once more at every label and every object of all runs."""
        stored = {version["id"] for image in self._world.images for version in self._versions(image)}
        for annotation_id, attempt in self._sent.items():
            if annotation_id not in stored:
                self._blame("lost", f"at the end: {annotation_id} is gone")
            elif not np.array_equal(self._label(annotation_id), attempt.array):
                self._blame("differing", f"at the end: {annotation_id} is not what was sent")
        self._known_objects.clear()
        self._check_objects(-1)

    def _check_versions(self, run: int, sent: list[Attempt]) -> int:
        added = [
            (image, version)
            for image in self._world.images
            for version in self._versions(image)
            if version["id"] not in self._known_versions
        ]
        self._known_versions |= {version["id"] for _, version in added}
        open_attempts = list(sent)
        silent = 0
        for image, version in added:
            attempt = self._attempt_of(image, version["id"], open_attempts)
            if attempt is None:
                self._blame("stray", f"run {run}: {version['id']} is no label that was sent, or one sent once")
                continue
            open_attempts.remove(attempt)
            silent += attempt.outcome != "acknowledged"
            if attempt.annotation_id not in ("", version["id"]):
                self._blame("differing", f"run {run}: {version['id']} holds the voxels of {attempt.annotation_id}")
            self._sent[version["id"]] = attempt
            self._uids[version["delivery"]["sop_instance_uid"]] = version["id"]
        for attempt in open_attempts:
            if attempt.outcome == "acknowledged":
                self._blame("lost", f"run {run}: {attempt.annotation_id} was acknowledged and is not there")
        return silent

    def _attempt_of(self, image: Image, annotation_id: str, attempts: list[Attempt]) -> Attempt | None:
        try:
            stored = self._label(annotation_id)
        except requests.HTTPError as error:
            self._blame("half", f"{annotation_id} is listed and cannot be read: {error.response.text[:200]}")
            return None
        return next((one for one in attempts if one.image is image and np.array_equal(one.array, stored)), None)

    def _check_objects(self, run: int) -> None:
        """Every SEG in Orthanc is one stored label's, and every stored label has one."""
        query = {"Level": "Instance", "Expand": True, "Query": {"Modality": "SEG"}}
        found = self._world.ask_pacs("tools/find", json=query).json()
        uids = Counter(instance["MainDicomTags"]["SOPInstanceUID"] for instance in found)
        for uid, count in uids.items():
            if count > 1:
                self._blame("duplicated", f"run {run}: {count} objects with one UID")
            if uid not in self._uids:
                self._blame("duplicated", f"run {run}: an object in the PACS that no label names")
        for uid, annotation_id in self._uids.items():
            if uid not in uids:
                self._blame("lost", f"run {run}: {annotation_id} is not in the PACS")
        for instance in found:
            if instance["ID"] not in self._known_objects and instance["MainDicomTags"]["SOPInstanceUID"] in self._uids:
                self._known_objects.add(instance["ID"])
                self._compare(run, instance)

    def _compare(self, run: int, instance: dict[str, Any]) -> None:
        annotation_id = self._uids[instance["MainDicomTags"]["SOPInstanceUID"]]
        content = self._world.ask_pacs(f"instances/{instance['ID']}/file").content
        attempt = self._sent[annotation_id]
        if not np.array_equal(from_seg(content, attempt.image), attempt.array):
            self._blame("differing", f"run {run}: the SEG of {annotation_id} is not what was sent")

    def _versions(self, image: Image) -> list[dict[str, Any]]:
        answer = requests.get(f"{self._world.url}/carina/annotations/{image.image_id}", timeout=60)
        answer.raise_for_status()
        versions: list[dict[str, Any]] = answer.json()
        return versions

    def _label(self, annotation_id: str) -> np.ndarray:
        answer = requests.get(
            f"{self._world.url}/datastore/label", params={"label": annotation_id, "tag": "final"}, timeout=60
        )
        answer.raise_for_status()
        return from_nifti(answer.content)

    def _blame(self, what: str, note: str) -> None:
        self._wrong[what] += 1
        self._notes.append(note)
