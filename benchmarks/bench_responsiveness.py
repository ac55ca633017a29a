"""How long `/info` takes while an inference runs: carina against monailabel's own route, in one run.

Both servers run the same network with the same weights on the same volume, each as it does by default: carina with its
sliding window in a worker process, the stock server with MONAI's `SlidingWindowInferer` inside its route. `/info/` is
asked at fixed times, whether or not earlier answers have come (so a blocked server cannot hide behind one slow answer).

    python benchmarks/bench_responsiveness.py [--voxels 192] [--every-s 0.05] [--json]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import nibabel as nib
import numpy as np

SEED = 0
TASK = "thorax_ct"
LIMIT_S = 0.25
STOCK_APP = """
from pathlib import Path
import tempfile
import torch
from carina.images import read_volume
from carina.models.loading import load_into
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks
from carina.settings import Settings
from monai.inferers import SlidingWindowInferer
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
import nibabel as nib
import numpy as np


class Stock(InferTask):
    def __init__(self):
        self.spec = find_tasks().get("thorax_ct")
        super().__init__(InferType.SEGMENTATION, self.spec.labels.indices, 3, "stock")
        models = ModelStore(Settings().models_dir)
        self.network = build_network(self.spec)
        load_into(self.network, models.served(self.spec.name), spec=self.spec)
        self.network.eval()

    def is_valid(self):
        return True

    def __call__(self, request):
        image = read_volume(Path(request["image"]))
        tensor = torch.from_numpy(np.clip(image.array.astype(np.float32) / 700 + 0.43, -1, 1))[None, None]
        with torch.inference_mode():
            logits = SlidingWindowInferer(roi_size=(96, 96, 96), overlap=0.4)(tensor, self.network)
        label = logits.argmax(1)[0].numpy().astype(np.uint8)
        path = tempfile.NamedTemporaryFile(suffix=".nii.gz", delete=False).name
        nib.save(nib.Nifti1Image(label, image.grid.affine_ras), path)
        return path, {}


class BenchApp(MONAILabelApp):
    def init_infers(self):
        return {"thorax_ct": Stock()}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voxels", type=int, default=192, help="edge of the volume, 3 mm voxels")
    parser.add_argument("--every-s", type=float, default=0.05, help="seconds between two requests")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--stock-server", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stock_server:
        return serve_stock(arguments.stock_server)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        prepare(home, arguments.voxels)
        with carina_server(home) as url:
            ours = measure(url, every_s=arguments.every_s)
        with stock_server(home) as url:
            stock = measure(url, every_s=arguments.every_s)
    report(ours, stock, voxels=arguments.voxels, as_json=arguments.json)
    return 0 if ours["p99_s"] <= LIMIT_S else 1


def prepare(home: Path, voxels: int) -> None:
    """A volume of noise in a body, and a served model with random weights."""
    import torch

    from carina.models.store import ModelStore
    from carina.networks.factory import build_network
    from carina.registry import find_tasks

    images = home / "images"
    images.mkdir()
    array = np.random.default_rng(SEED).normal(0, 100, (voxels,) * 3).astype(np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), images / "bench.nii.gz")
    spec = find_tasks().get(TASK)
    torch.manual_seed(SEED)
    models = ModelStore(home / "models")
    made = models.add(
        TASK, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    models.promote(TASK, made.version, reason="benchmark")


@contextmanager
def carina_server(home: Path) -> Iterator[str]:
    from carina.server.running import RunningServer
    from carina.settings import Settings

    with RunningServer(Settings(home=home, port=0), store_url=str(home / "images"), timeout_s=300) as server:
        yield server.url


@contextmanager
def stock_server(home: Path) -> Iterator[str]:
    app = home / "app"
    app.mkdir()
    (app / "main.py").write_text(STOCK_APP)
    port = free_port()
    environment = {
        **os.environ,
        "CARINA_HOME": str(home),
        "MONAI_LABEL_APP_DIR": str(app),
        "MONAI_LABEL_STUDIES": str(home / "images"),
    }
    with (home / "stock.log").open("w") as log:
        command = [sys.executable, __file__, "--stock-server", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, process, home / "stock.log")
        yield url
    finally:
        process.terminate()
        process.wait(60)


def serve_stock(port: int) -> int:
    from carina.server import compat

    compat.install()
    import uvicorn

    uvicorn.run("monailabel.app:app", host="127.0.0.1", port=port, log_level="warning")
    return 0


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_up(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the stock server ended:\n{log.read_text()[-3000:]}")
        try:
            if httpx.get(f"{url}/info/", timeout=30, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"the stock server does not answer:\n{log.read_text()[-3000:]}")


def measure(url: str, *, every_s: float) -> dict[str, float]:
    """Draft once to warm up, then ask `/info/` at fixed times while a second draft runs."""
    draft(url)
    asked: list[Future[float]] = []
    with ThreadPoolExecutor(max_workers=512) as pool:
        started = time.monotonic()
        finished = threading.Event()
        inference = pool.submit(noted(draft, finished), url)
        while not finished.is_set():
            asked.append(pool.submit(ask, url))
            time.sleep(every_s)
        inference.result()
        inference_s = time.monotonic() - started
        taken = np.array([future.result() for future in asked])
    return {
        "p50_s": float(np.percentile(taken, 50)),
        "p99_s": float(np.percentile(taken, 99)),
        "max_s": float(taken.max()),
        "requests": len(taken),
        "inference_s": inference_s,
    }


def noted(work: Callable[[str], None], finished: threading.Event) -> Callable[[str], None]:
    def run(url: str) -> None:
        try:
            work(url)
        finally:
            finished.set()

    return run


def draft(url: str) -> None:
    answer = httpx.post(f"{url}/infer/{TASK}?image=bench", timeout=1800, trust_env=False)
    if answer.status_code != 200:
        raise SystemExit(f"{url} answered {answer.status_code}: {answer.text[:500]}")


def ask(url: str) -> float:
    """Seconds one `/info/` takes, on a connection of its own as the stock client's."""
    address = urlsplit(url)
    started = time.monotonic()
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=1800)
    try:
        connection.request("GET", "/info/")
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"{url}/info/ answered {answer.status}")
    return time.monotonic() - started


def report(ours: dict[str, float], stock: dict[str, float], *, voxels: int, as_json: bool) -> None:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    versions = {name: version(name) for name in ("carina", "monailabel", "monai", "torch", "fastapi", "uvicorn")}
    ratio = {key: stock[key] / ours[key] for key in ("p50_s", "p99_s")}
    print(f"device {device}; Python {platform.python_version()}; seed {SEED}; volume {voxels}³ at 3 mm")
    print("; ".join(f"{name} {number}" for name, number in versions.items()))
    print(f"{'':12}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}{'requests':>10}{'inference s':>13}")
    for name, row in (("carina", ours), ("monailabel", stock)):
        times = "".join(f"{row[key] * 1000:10.0f}" for key in ("p50_s", "p99_s", "max_s"))
        print(f"{name:12}{times}{row['requests']:10.0f}{row['inference_s']:13.1f}")
    print(f"monailabel / carina: p50 ×{ratio['p50_s']:.0f}, p99 ×{ratio['p99_s']:.0f}")
    print(f"carina p99 {'within' if ours['p99_s'] <= LIMIT_S else 'OVER'} the limit of {LIMIT_S * 1000:.0f} ms")
    if as_json:
        print(json.dumps({"device": device, "versions": versions, "carina": ours, "monailabel": stock, "ratio": ratio}))


if __name__ == "__main__":
    sys.exit(main())
