"""50 users at once: how long a save takes, and whether anything is lost; against MONAI Label's own datastore.

carina runs as it does for users: the server in a child process, images in a real Orthanc, SQLite, every save over HTTP
with its checks, its fsyncs and its delivery as SEG in the background. A user downloads the image that was handed out,
as 3D Slicer does, before it is labelled; that time does not count. The peer is `LocalDatastore.save_label` of MONAI
Label called from as many threads with the same pauses, in process: no HTTP, no checks, no delivery, nothing flushed.

    python -m benchmarks.bench_concurrent_users [--users 50] [--seconds 60] [--cases 120] [--think-s 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import open_store
from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series
from carina.server.running import RunningServer
from carina.settings import Settings
from tests.integration.concurrent_users import Report, Users, deliveries

SEED = 0
LIMIT_S = 1.0
GRID = Grid((64, 64, 24), np.diag([-1.5, -1.5, 3.0, 1.0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--think-s", type=float, default=2.0, help="mean pause between two requests of a user")
    parser.add_argument("--database", help="SQLAlchemy URL; SQLite by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ours, lost, waiting = measure(Path(folder), arguments)
        peer = measure_peer(Path(folder) / "peer", arguments)
    result = {
        "device": f"CPU, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("carina", "monailabel", "sqlalchemy", "fastapi")},
        "seed": SEED,
        "users": arguments.users,
        "seconds": arguments.seconds,
        "cases": arguments.cases,
        "acknowledged": len(ours.acknowledged),
        "lost_or_extra": lost,
        "server_errors": ours.server_errors,
        "no_answer": len(ours.failures),
        "handed_twice": len(ours.handed_twice),
        "undelivered_at_the_end": waiting,
        "carina": quantiles(ours.save_s),
        "peer": quantiles(peer),
    }
    result["ratio"] = {name: result["carina"][name] / result["peer"][name] for name in ("p50_s", "p95_s", "p99_s")}
    report(result)
    if arguments.json:
        print(json.dumps(result))
    kept = lost == ours.server_errors == len(ours.failures) == 0
    return 0 if kept and result["carina"]["p99_s"] <= LIMIT_S else 1


def measure(folder: Path, arguments: argparse.Namespace) -> tuple[Report, int, int]:
    """What the users saw, how many versions differ from what was acknowledged, and how many SEG were on their way."""
    pacs = Settings(home=folder / "pacs")
    environment = {"CARINA_DATABASE_URL": arguments.database} if arguments.database else {}
    with OrthancServer.start(pacs) as orthanc:
        images = dict.fromkeys(add_images(orthanc, pacs, folder / "series", arguments.cases), GRID)
        server = RunningServer(
            Settings(home=folder / "home", port=0),
            store_url=f"orthanc+{orthanc.url}",
            credentials=(orthanc.user, orthanc.password),
            timeout_s=300,
            environment=environment,
        )
        with server:
            Users(server.url, images, think_s=0.0).work(users=1, seconds=0.5)  # warm up: imports, caches
            users = Users(server.url, images, think_s=arguments.think_s)
            before = set(users.stored())
            report = users.work(users=arguments.users, seconds=arguments.seconds)
            lost = len((set(users.stored()) - before) ^ set(report.acknowledged))
            return report, lost, deliveries(server.url)["pending"]


def add_images(orthanc: OrthancServer, settings: Settings, folder: Path, count: int) -> list[str]:
    store = open_store(f"orthanc+{orthanc.url}", settings=settings, user=orthanc.user, password=orthanc.password)
    ids = []
    for number in range(count):
        array = np.random.default_rng([SEED, number]).integers(-900, 900, GRID.shape).astype(np.int16)
        series = write_series(Volume(array, GRID), folder / str(number), patient_id=f"B{number}", seed=number)
        ids.append(store.add_image(series.folder))
    store.close()
    return ids


def measure_peer(folder: Path, arguments: argparse.Namespace) -> list[float]:
    """Seconds of each `LocalDatastore.save_label`."""
    from carina.server import compat

    compat.install()
    from monailabel.datastore.local import LocalDatastore

    folder.mkdir()
    for number in range(arguments.cases):
        nib.save(nib.Nifti1Image(np.zeros(GRID.shape, np.int16), GRID.affine_ras), folder / f"case{number}.nii.gz")
    label = folder.parent / "label.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(GRID.shape, np.uint8), GRID.affine_ras), label)
    datastore = LocalDatastore(str(folder), extensions=["*.nii.gz"], auto_reload=False)
    taken: list[float] = []
    end = time.monotonic() + arguments.seconds

    def work(number: int) -> None:
        generator = random.Random(number)
        while time.monotonic() < end:
            time.sleep(generator.uniform(0.5, 1.5) * arguments.think_s)
            started = time.monotonic()
            datastore.save_label(f"case{generator.randrange(arguments.cases)}", str(label), "final", {})
            taken.append(time.monotonic() - started)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(arguments.users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def quantiles(seconds: list[float]) -> dict[str, float]:
    return {
        "saves": len(seconds),
        **{f"p{percent}_s": float(np.percentile(seconds, percent)) for percent in (50, 95, 99)},
        "max_s": max(seconds),
    }


def report(result: dict) -> None:
    print(f"device {result['device']}; Python {result['python']}; seed {SEED}; {result['users']} users")
    print("; ".join(f"{name} {number}" for name, number in result["versions"].items()))
    print(f"{'':12}{'saves':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'max ms':>10}")
    for name in ("carina", "peer"):
        row = result[name]
        times = "".join(f"{row[key] * 1000:10.0f}" for key in ("p50_s", "p95_s", "p99_s", "max_s"))
        print(f"{name:12}{row['saves']:8.0f}{times}")
    print("carina / peer: " + ", ".join(f"{name[:-2]} ×{ratio:.1f}" for name, ratio in result["ratio"].items()))
    print(
        f"acknowledged {result['acknowledged']}, lost or extra {result['lost_or_extra']}, "
        f"5xx {result['server_errors']}, no answer {result['no_answer']}, handed twice {result['handed_twice']}, "
        f"still on the way to the PACS {result['undelivered_at_the_end']}"
    )
    within = result["carina"]["p99_s"] <= LIMIT_S
    print(f"carina p99 {'within' if within else 'OVER'} the limit of {LIMIT_S * 1000:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
