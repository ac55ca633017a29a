"""How long 105 segments take from the click to an editable overlay in OHIF, without the network's own time.

Headless Chromium, a real Orthanc, a CT phantom of 512×512×100 with 105 ragged structures, each of an intensity of its
own, and a stand-in network that tells them apart; its draft takes the same way as any. In the same run: the stock
plugin's transfer (`/infer` with one uncompressed file of 8 bits, as it asks for), and DICOM SEG against compressed
label map: encoding, bytes, and OHIF's own reader of the delivered SEG. Memory is the peak
resident set of Chromium's renderer.

    python -m benchmarks.bench_viewer_transfer [--slices 100] [--repeats 3] [--skip-seg] [--json]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import httpx
import numpy as np
import psutil
import torch
from playwright.sync_api import Page, Response, sync_playwright

from carina.dicom.seg import Provenance, write_seg
from carina.dicom.series import read_series
from carina.geometry import Grid, Volume
from carina.images import write_label
from carina.phantoms.dicom import SeriesPaths, write_series
from carina.server.running import RunningServer
from carina.settings import Settings
from carina.structures import TOTALSEGMENTATOR_V1, label_set
from tests.browser.chromium import AGREED, ARGUMENTS, find_chromium
from tests.plugins import plugin_path

SEED = 0
TASK = "structures_ct"
LABELS = label_set(*TOTALSEGMENTATOR_V1, "spinal_cord")
PLUGIN = Path(__file__).parent / "plugin"
LIMIT_S, LIMIT_BYTES = 3.0, 2_000_000
_NOT_OURS = ("prepare", "network", "finalise")

_CLICK = """async (id) => {
  const root = document.querySelector("carina-panel").shadowRoot;
  performance.clearResourceTimings(); // it holds a limited number, and the slices alone are more
  const started = performance.now();
  root.getElementById(id).click();
  await new Promise((resolve, reject) => {
    const look = setInterval(() => {
      const message = root.getElementById("message");
      if (message.className === "bad") { clearInterval(look); reject(new Error(message.textContent)); }
      if (!message.textContent.includes("Correct it, then submit")) return;
      clearInterval(look);
      resolve(null);
    }, 5);
  });
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  const ended = performance.now();
  const answer = performance.getEntriesByType("resource").findLast(({ name }) => name.includes("/infer/"));
  return { total_s: (ended - started) / 1000, client_s: (ended - answer.responseEnd) / 1000 };
}"""

_STOCK = """async (address) => {
  const form = new FormData();
  form.set("params", JSON.stringify({ result_extension: ".nii", result_dtype: "uint8" }));
  const started = performance.now();
  const answer = await fetch(address, { method: "POST", body: form });
  const parts = await answer.formData();
  const bytes = (await parts.get("image").arrayBuffer()).byteLength;
  return { total_s: (performance.now() - started) / 1000, bytes, params: JSON.parse(parts.get("params")) };
}"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="drafts; the first one warms up")
    parser.add_argument("--skip-seg", action="store_true", help="leave out OHIF's own reader of the SEG")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        result = measure(Path(name), arguments)
    report(result)
    if arguments.json:
        print(json.dumps(result))
    ours = result["carina"]
    return 0 if ours["without_network_s"] <= LIMIT_S and ours["bytes"] <= LIMIT_BYTES else 1


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    label = make_label(arguments.slices)
    series = write_series(make_image(label), folder / "series", patient_id="TRANSFER", seed=SEED)
    forms = measure_encoding(folder, label, series)
    settings = Settings(home=folder / "home", port=0)
    models = settings.models_dir / TASK
    models.mkdir(parents=True)
    torch.save(prototypes().weights(len(LABELS) + 1), models / "model.pt")
    with RunningServer(settings, environment={"PYTHONPATH": plugin_path(folder, PLUGIN)}) as server:
        store(server, series)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_init_script(AGREED)
            page = context.new_page()
            page.set_default_timeout(600_000)
            session = browser.new_browser_cdp_session()
            renderers = [
                one["id"]
                for one in session.send("SystemInfo.getProcessInfo")["processInfo"]
                if one["type"] == "renderer"
            ]
            with Memory(renderers) as memory:
                ours = measure_draft(page, server, series, memory, repeats=arguments.repeats)
                stock = measure_stock(page, server, series)
                if not arguments.skip_seg:
                    forms["seg"].update(measure_seg(page, memory))
            program = f"Chromium {browser.version}"
            browser.close()
    return {
        "device": f"CPU, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {program}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("carina", "monailabel", "torch", "highdicom", "nibabel")},
        "seed": SEED,
        "voxels": label.array.shape,
        "segments": len(np.unique(label.array)) - 1,
        "carina": ours,
        "stock": stock,
        "ratio": {
            "bytes": stock["bytes"] / ours["bytes"],
            "transfer": stock["without_network_s"] / (ours["without_network_s"] - ours["client_s"]),
        },
        "forms": forms,
    }


def prototypes() -> ModuleType:
    """The stand-in network's module."""
    spec = importlib.util.spec_from_file_location("prototypes", PLUGIN / "networks" / "prototypes.py")
    if spec is None or spec.loader is None:
        raise SystemExit("the stand-in network is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_label(slices: int) -> Volume:
    """The regions nearest to each of 105 points in a body, with ragged edges and gaps between them."""
    random = np.random.default_rng(SEED)
    shape = (512, 512, slices)
    affine = np.diag([-0.8, -0.8, 2.5, 1.0])
    axes = [torch.linspace(-1, 1, size) for size in shape]
    noise = torch.nn.functional.interpolate(
        torch.from_numpy(random.normal(0, 0.02, (1, 3, 64, 64, max(2, slices // 4))).astype(np.float32)),
        size=shape,
        mode="trilinear",
    )[0]
    x, y, z = (axis + shift for axis, shift in zip(torch.meshgrid(*axes, indexing="ij"), noise, strict=True))
    points = random.uniform(-1, 1, (4 * len(LABELS), 3)) * (0.75, 0.55, 1.0)
    points = points[(points[:, :2] ** 2 / (0.75**2, 0.55**2)).sum(1) < 1][: len(LABELS)]
    nearest = torch.full(shape, 0.2**2)
    label = torch.zeros(shape, dtype=torch.uint8)
    for index, (px, py, pz) in enumerate(points, start=1):
        distance = (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2 / 4
        closer = distance < nearest
        label[closer] = index
        nearest = torch.minimum(nearest, distance)
    return Volume(label.numpy(), Grid(shape, affine))


def make_image(label: Volume) -> Volume:
    """An image in which every label has its own intensity, with noise that stays below half the steps between them."""
    network = prototypes()
    noise = np.random.default_rng(SEED).integers(-6, 7, label.array.shape, dtype=np.int16)
    array = label.array.astype(np.int16) * int(network.STEP_HU) + int(network.AIR_HU) + noise
    return Volume(np.maximum(array, -1024), label.grid)


def measure_encoding(folder: Path, label: Volume, series: SeriesPaths) -> dict[str, dict[str, float]]:
    """Seconds and bytes of a label map and of a SEG on the server's side."""
    read = read_series(series.folder)
    started = time.perf_counter()
    write_label(folder / "label.nii.gz", label)
    map_s = time.perf_counter() - started
    started = time.perf_counter()
    provenance = Provenance(algorithm_type="AUTOMATIC", task=TASK, model_version="1")
    seg = write_seg(label, read, labels=LABELS, provenance=provenance)
    seg.save_as(folder / "label.dcm")
    seg_s = time.perf_counter() - started
    return {
        "label_map": {"encode_s": map_s, "bytes": (folder / "label.nii.gz").stat().st_size},
        "seg": {"encode_s": seg_s, "bytes": (folder / "label.dcm").stat().st_size},
    }


def store(server: RunningServer, series: SeriesPaths) -> None:
    address = server.address
    login = (address.pacs_user or "", address.pacs_password or "")
    with httpx.Client(base_url=address.pacs_url or "", auth=login, trust_env=False, timeout=60) as orthanc:
        for file in series.files:
            orthanc.post("/instances", content=file.read_bytes()).raise_for_status()


class Memory:
    """The most resident memory any of some processes has had since it was last asked."""

    def __init__(self, pids: list[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def now(self) -> int:
        """Bytes at this moment."""
        return max(process.memory_info().rss for process in self._processes if process.is_running())

    def peak(self) -> int:
        """The most bytes since the last call."""
        most, self._most = max(self._most, self.now()), 0
        return most

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self._most = max(self._most, self.now())


def measure_draft(
    page: Page, server: RunningServer, series: SeriesPaths, memory: Memory, *, repeats: int
) -> dict[str, float]:
    """The median of some drafts after the first."""
    page.goto(f"{server.url}/ohif/annotate?StudyInstanceUIDs={series.study_instance_uid}")
    panel = page.locator("carina-panel")
    panel.locator("#task").select_option(TASK)
    panel.locator("#user").fill("benchmark")
    panel.locator("#user").press("Tab")
    page.wait_for_load_state("networkidle")
    answers: list[Response] = []
    page.on("response", lambda response: answers.append(response) if "/infer/" in response.url else None)
    found = []
    for _ in range(repeats):
        before = memory.now()
        memory.peak()
        row = page.evaluate(_CLICK, "draft-start")
        answer = next(one for one in reversed(answers) if one.request.method == "POST")
        row |= {"before_bytes": before, "peak_bytes": memory.peak(), "bytes": int(answer.headers["content-length"])}
        timings = json.loads(re.search(rb'\{"task".*\}', answer.body())[0])["timings"]
        row["without_network_s"] = row["total_s"] - sum(timings[name] for name in _NOT_OURS)
        print(f"draft: {row}; {timings}", file=sys.stderr)
        found.append(row)
    return {key: float(np.median([row[key] for row in found[1:] or found])) for key in found[0]}


def measure_stock(page: Page, server: RunningServer, series: SeriesPaths) -> dict[str, float]:
    found = page.evaluate(_STOCK, f"/infer/{TASK}?image={series.series_instance_uid}&output=all")
    timings = found.pop("params")["timings"]
    return {**found, "without_network_s": found["total_s"] - sum(timings[name] for name in _NOT_OURS)}


def measure_seg(page: Page, memory: Memory) -> dict[str, float]:
    """Submit the draft, and let OHIF load the SEG that reached the PACS, as it does by itself."""
    panel = page.locator("carina-panel")
    panel.locator("#submit").click()
    panel.locator("#message", has_text="in the PACS as a SEG").wait_for()
    page.reload()
    panel.locator("#latest").wait_for()
    page.locator("[data-cy=seriesList-btn]").click()
    page.wait_for_load_state("networkidle")
    memory.peak()
    started = time.perf_counter()
    page.locator("[data-cy=study-browser-thumbnail-no-image]", has_text="SEG").dblclick()
    page.get_by_text("LOAD", exact=True).click()
    page.locator("[data-cy=data-row]").first.wait_for()
    return {"load_s": time.perf_counter() - started, "peak_bytes": memory.peak()}


def report(result: dict[str, Any]) -> None:
    ours, stock, forms = result["carina"], result["stock"], result["forms"]
    print(f"{result['device']}; Python {result['python']}; seed {result['seed']}")
    print("; ".join(f"{name} {number}" for name, number in result["versions"].items()))
    print(f"{result['segments']} segments on {result['voxels']} voxels")
    print(
        f"carina: {ours['without_network_s']:.2f} s from the click to the overlay "
        f"({ours['client_s']:.2f} s of it in the browser), {ours['bytes'] / 1e6:.2f} MB; the renderer takes "
        f"{ours['before_bytes'] / 1e6:.0f} MB before and {ours['peak_bytes'] / 1e6:.0f} MB at most"
    )
    print(f"stock transfer: {stock['without_network_s']:.2f} s, {stock['bytes'] / 1e6:.1f} MB")
    print(f"stock / carina: bytes ×{result['ratio']['bytes']:.0f}, transfer ×{result['ratio']['transfer']:.1f}")
    for name, form in forms.items():
        print(f"{name}: " + ", ".join(f"{key} {value:,.2f}" for key, value in form.items()))


if __name__ == "__main__":
    sys.exit(main())
