"""Many users of one live server at once: take a case, save a draft, submit; what was told against what is stored."""

from __future__ import annotations

import gzip
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import nibabel as nib
import numpy as np

from carina.geometry import Grid

NAMES = [{"name": "heart", "idx": 5}, {"name": "trachea", "idx": 9}]
_ANSWER_S = 120.0


@dataclass
class Report:
    """What the users saw.

    Attributes:
        acknowledged: Ids of the versions the server said it stored.
        save_s: How long each save took.
        statuses: HTTP statuses of all answers.
        failures: Requests without an answer, in words.
        handed_twice: Images given to a user while another held them.
        taken: Cases handed out.
    """

    acknowledged: list[str] = field(default_factory=list)
    save_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    handed_twice: list[str] = field(default_factory=list)
    taken: int = 0

    @property
    def server_errors(self) -> int:
        """Answers of 500 and above."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


class Users:
    """Threads that act as annotators do.

    Args:
        url: Of the server.
        images: Image id → grid.
        think_s: Mean pause between two requests of one user.
    """

    def __init__(self, url: str, images: dict[str, Grid], *, think_s: float) -> None:
        self._url = url
        self._images = images
        self._think_s = think_s
        self._lock = threading.Lock()
        self._holders: dict[str, str] = {}
        self.report = Report()

    def work(self, *, users: int, seconds: float) -> Report:
        """Let `users` work at once for so long; a request under way is finished."""
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._annotate, args=(f"user-{number}", end)) for number in range(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.report

    def stored(self) -> list[str]:
        """Ids of every version the server has of these images."""
        with httpx.Client(base_url=self._url, trust_env=False, timeout=_ANSWER_S) as client:
            return [
                version["id"]
                for image_id in self._images
                for version in client.get(f"/carina/annotations/{image_id}").raise_for_status().json()
            ]

    def _annotate(self, user: str, end: float) -> None:
        generator = random.Random(user)
        with httpx.Client(base_url=self._url, trust_env=False, timeout=_ANSWER_S) as client:
            while time.monotonic() < end:
                try:
                    image_id = self._take(client, user) or generator.choice(sorted(self._images))
                    for tag in ("original", "final"):
                        time.sleep(generator.uniform(0.5, 1.5) * self._think_s)
                        self._save(client, image_id, tag, user, generator)
                except httpx.TransportError as error:
                    self.report.failures.append(f"{user}: {error!r}")

    def _take(self, client: httpx.Client, user: str) -> str | None:
        """The next case, or None when every image has its label."""
        answer = client.post("/activelearning/random", json={"client_id": user})
        image_id = answer.json().get("id") if answer.status_code == httpx.codes.OK else None
        if image_id is not None:  # nobody labels what he has not seen; 3D Slicer asks for it by this address
            self._count(client.get("/datastore/image", params={"image": image_id}).status_code)
        with self._lock:
            self.report.statuses[answer.status_code] += 1
            if image_id is not None:
                self.report.taken += 1
                if self._holders.setdefault(image_id, user) != user:
                    self.report.handed_twice.append(image_id)
        return image_id

    def _count(self, status: int) -> None:
        with self._lock:
            self.report.statuses[status] += 1

    def _save(self, client: httpx.Client, image_id: str, tag: str, user: str, generator: random.Random) -> None:
        if tag == "final":
            with self._lock:  # from now on the server may give it to somebody else
                if self._holders.get(image_id) == user:
                    del self._holders[image_id]
        content = _label(self._images[image_id], generator)
        started = time.monotonic()
        answer = client.put(
            "/datastore/label",
            params={"image": image_id, "tag": tag},
            data={"params": json.dumps({"label_info": NAMES, "client_id": user})},
            files={"label": ("label.nii.gz", content)},
        )
        taken_s = time.monotonic() - started
        with self._lock:
            self.report.statuses[answer.status_code] += 1
            self.report.save_s.append(taken_s)
            if answer.status_code == httpx.codes.OK:
                self.report.acknowledged.append(answer.json()["label"])


def deliveries(url: str) -> dict[str, Any]:
    """What the server says of its deliveries."""
    answer = httpx.get(f"{url}/carina/deliveries", trust_env=False, timeout=_ANSWER_S).raise_for_status()
    state: dict[str, Any] = answer.json()
    return state


def _label(grid: Grid, generator: random.Random) -> bytes:
    array = np.zeros(grid.shape, np.uint8)
    x, y, z = (generator.randrange(size - 2) for size in grid.shape)
    array[x : x + 2, y : y + 2, z : z + 2] = generator.choice([5, 9])
    return gzip.compress(nib.Nifti1Image(array, grid.affine_ras).to_bytes(), 1)
