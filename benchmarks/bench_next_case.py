"""How long a reader waits for the next case where there are thousands; against MONAI Label's own random strategy.

carina runs as it does for users: the server in a child process, images in a real Orthanc (one of 8×8 pixels in each
series), SQLite. Every image has a look and scores of one version. A reader asks over HTTP under a name that nobody has
used, so that every answer takes one more image out of the pool. Then a new study is sent to Orthanc, and the time is
taken until the server counts it. The peer is `Random` of MONAI Label on its `LocalDatastore` with as many images, in
process and with the note that its route writes: no HTTP, no PACS, no leases, no reasons.

    python -m benchmarks.bench_next_case [--series 5000] [--asks 60] [--readers 8] [--keep DIR] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import psutil
from sqlalchemy import delete

from carina.annotations.database import Database, utc_now
from carina.annotations.tables import ImageInfoRow, LeaseRow, LookRow
from carina.datastores.orthanc_server import OrthancServer
from carina.geometry import Grid, Volume
from carina.jobs.score import score_key
from carina.phantoms.dicom import write_series
from carina.registry import find_tasks
from carina.server.running import RunningServer
from carina.settings import Settings
from carina.strategies import find_strategies

SEED = 0
LIMIT_S, POOL_LIMIT_S = 0.3, 10.0
TASK = "thorax_ct"
FEATURES = 128
METHODS = ("islands", "entropy", "margin", "tta", "committee", "plausibility")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--asks", type=int, default=60, help="of each strategy, by one reader and by all together")
    parser.add_argument("--readers", type=int, default=8, help="at once")
    parser.add_argument("--strategies", default="", help="a,b; every one by default")
    parser.add_argument("--keep", type=Path, help="where Orthanc and the database stay, to be used again")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        result = {
            "device": f"CPU, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("carina", "monailabel", "sqlalchemy", "fastapi")},
            "seed": SEED,
            "series": arguments.series,
            "asks": arguments.asks,
            "readers": arguments.readers,
            **measure(folder, arguments),
            "peer": quantiles(measure_peer(Path(temporary) / "peer", arguments)),
        }
    report(result)
    if arguments.json:
        print(json.dumps(result))
    within = all(row["alone"]["p99_s"] <= LIMIT_S for row in result["strategies"].values())
    return 0 if within and result["new_study_s"] <= POOL_LIMIT_S else 1


def measure(folder: Path, arguments: argparse.Namespace) -> dict:
    """Seconds of every strategy, and until a new study is counted."""
    pacs, home = Settings(home=folder / "pacs"), Settings(home=folder / "home", port=0)
    names = arguments.strategies.split(",") if arguments.strategies else find_strategies().names
    with (
        OrthancServer.start(pacs) as orthanc,
        httpx.Client(base_url=orthanc.url, auth=(orthanc.user, orthanc.password), timeout=60) as client,
    ):
        send_studies(client, arguments.series)
        remember(home, [one["MainDicomTags"]["SeriesInstanceUID"] for one in client.get("/series?expand").json()])
        server = RunningServer(
            home, store_url=f"orthanc+{orthanc.url}", credentials=(orthanc.user, orthanc.password), timeout_s=300
        )
        with server:
            found = {name: measure_strategy(server, name, arguments) for name in names}
            return {"strategies": found, "new_study_s": measure_new_study(server.url, client)}


def send_studies(client: httpx.Client, wanted: int) -> None:
    """Bring Orthanc to so many series, each of a study and a patient of its own."""
    there = client.get("/statistics").json()["CountSeries"]
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda number: send(client, f"N{number}"), range(there, wanted)))


def send(client: httpx.Client, patient_id: str) -> None:
    """Store a CT series of one image of 8×8 pixels."""
    volume = Volume(np.zeros((8, 8, 1), np.int16), Grid((8, 8, 1), np.diag([-1.0, -1.0, 3.0, 1.0])))
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_series(volume, Path(folder), patient_id=patient_id).files
        client.post("/instances", content=file.read_bytes()).raise_for_status()


def remember(home: Settings, image_ids: list[str]) -> None:
    """A look and scores of one version for every image, as scoring jobs leave them; all images free again."""
    random, now = np.random.default_rng(SEED), utc_now()
    labels = find_tasks().get(TASK).labels.names
    database = Database(home.database_url)
    database.create_tables()
    with database.writing() as session:
        for table in (LeaseRow, LookRow, ImageInfoRow):
            session.execute(delete(table))
        for number, image_id in enumerate(image_ids):
            seen = now - timedelta(seconds=number)  # one image a second
            presence = dict(zip(labels, random.random(len(labels)).tolist(), strict=True))
            session.add(
                LookRow(
                    task=TASK, image_id=image_id, model_version="v1", presence=presence, updated=seen,
                    embedding=random.normal(size=FEATURES).astype("<f4").tobytes(),
                )
            )  # fmt: skip
            notes = {score_key(TASK, one): {"value": random.random(), "version": "v1", "at": 0.0} for one in METHODS}
            session.add(ImageInfoRow(subject=image_id, info=notes, updated=seen))
    database.close()


def measure_strategy(server: RunningServer, name: str, arguments: argparse.Namespace) -> dict:
    """Seconds of each answer, to one reader at a time and to all at once; and the server's CPU seconds of one alone."""
    process = psutil.Process(server.pid)
    with httpx.Client(base_url=server.url, timeout=120) as client:

        def ask(_: object = None) -> float:
            started = time.monotonic()
            answer = client.post(f"/activelearning/{name}", json={"task": TASK, "user": uuid.uuid4().hex})
            taken = time.monotonic() - started
            if not answer.raise_for_status().json():
                raise RuntimeError("Nothing is left to hand out. Take more series.")
            return taken

        ask()  # the first of a strategy brings in what the next ones keep
        before = sum(process.cpu_times()[:2])
        alone = [ask() for _ in range(arguments.asks)]
        spent = (sum(process.cpu_times()[:2]) - before) / arguments.asks
        with ThreadPoolExecutor(arguments.readers) as readers:
            together = list(readers.map(ask, range(arguments.asks)))
    return {"alone": quantiles(alone), "together": quantiles(together), "cpu_s": spent}


def measure_new_study(url: str, pacs: httpx.Client) -> float:
    """Seconds from when Orthanc has a new study until the server counts it among what is left."""
    with httpx.Client(base_url=url, timeout=60) as client:

        def total() -> int:
            return int(client.get("/carina/queue", params={"task": TASK}).json()["total"])

        before = total()
        send(pacs, uuid.uuid4().hex)
        started = time.monotonic()
        while total() == before:
            time.sleep(0.05)
        return time.monotonic() - started


def measure_peer(folder: Path, arguments: argparse.Namespace) -> list[float]:
    """Seconds of each choice of MONAI Label's random strategy, with the note of it."""
    from carina.server import compat

    compat.install()
    from monailabel.datastore.local import LocalDatastore
    from monailabel.tasks.activelearning.random import Random

    folder.mkdir()
    for number in range(arguments.series):
        (folder / f"case{number}.nii.gz").touch()
    datastore, strategy = LocalDatastore(str(folder), extensions=["*.nii.gz"], auto_reload=False), Random()

    def ask() -> None:
        chosen = strategy({"strategy": "random", "label_tag": "final"}, datastore)["id"]
        note = {"random": {"ts": int(time.time()), "client_id": uuid.uuid4().hex}}
        datastore.update_image_info(chosen, {"strategy": note})

    return [timed(ask) for _ in range(arguments.asks)]


def timed(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def quantiles(seconds: list[float]) -> dict[str, float]:
    return {
        "asks": len(seconds),
        **{f"p{percent}_s": float(np.percentile(seconds, percent)) for percent in (50, 99)},
        "max_s": max(seconds),
    }


def report(result: dict) -> None:
    print(f"device {result['device']}; Python {result['python']}; seed {SEED}; {result['series']} series")
    print("; ".join(f"{name} {number}" for name, number in result["versions"].items()))
    readers = f"{result['readers']} at once"
    print(f"{'':14}{'CPU ms':>10}{'alone p50 ms':>14}{'p99 ms':>10}{readers + ' p50':>18}{'p99 ms':>10}")
    for name, row in result["strategies"].items():
        times = [row[how][key] for how in ("alone", "together") for key in ("p50_s", "p99_s")]
        cpu, alone, slowest, together, last = (1000 * seconds for seconds in (row["cpu_s"], *times))
        within = "" if row["alone"]["p99_s"] <= LIMIT_S else f"  OVER the limit of {LIMIT_S * 1000:.0f} ms"
        print(f"{name:14}{cpu:10.0f}{alone:14.0f}{slowest:10.0f}{together:18.0f}{last:10.0f}{within}")
    peer = result["peer"]
    print(f"{'peer: random':24}{peer['p50_s'] * 1000:14.0f}{peer['p99_s'] * 1000:10.0f}")
    ratio = result["strategies"].get("random", {}).get("alone", {}).get("p50_s")
    if ratio:
        print(f"random: carina / peer ×{ratio / peer['p50_s']:.2f}")
    print(f"a new study counts after {result['new_study_s']:.1f} s (limit {POOL_LIMIT_S:.0f} s)")


if __name__ == "__main__":
    sys.exit(main())
