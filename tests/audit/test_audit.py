"""A network that learnt a marker is flagged, one that learnt the finding is not."""

from __future__ import annotations

import pytest
import torch

from carina.audit.answers import ask
from carina.audit.audit import audit
from carina.audit.report import report
from carina.infers.sliding_window import predict
from carina.models.calibration import Calibration
from carina.models.loading import load_into
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

from ..browser.chromium import ARGUMENTS, find_chromium
from ..browser.pictures import keep_picture
from .world import LUNG, SPEC, cases


def audited(folder, *, marker):
    """Train on images with a marker, and audit on others of the same kind."""
    models = ModelStore(folder)
    trained = train(
        cases(80, marker=marker),
        spec=SPEC,
        models=models,
        splits=FileSplitStore(folder),
        predict=predict,
        work_dir=folder / "work",
        device="cpu",
    )
    network = build_network(SPEC)
    load_into(network, trained.version, spec=SPEC)
    answers = ask(
        cases(60, first=1000, marker=marker),
        spec=SPEC,
        network=network,
        calibration=Calibration.from_json(trained.version.calibration),
        device=torch.device("cpu"),
        region_of=lambda case, image: LUNG,
    )
    sex = {case.image_id: "F" if int(case.image_id[1:]) // 2 % 2 else "M" for case in answers.cases}
    return audit(answers, {"sex": sex}, version="v1")


@pytest.fixture(scope="module")
def cheating(tmp_path_factory):
    """Of a network in whose training images a marker went with the finding."""
    return audited(tmp_path_factory.mktemp("marked"), marker="with_finding")


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Of a network whose training images had the same markers, at random."""
    return audited(tmp_path_factory.mktemp("clean"), marker="random")


def states(made, state):
    (one,) = made.findings
    return {verdict.measure for verdict in one.verdicts if verdict.state == state}


@pytest.mark.slow
def test_a_learnt_marker_is_flagged(cheating):
    (one,) = cheating.findings
    assert one.auroc.mean > 0.9, "it looks excellent, which is the trap"
    assert {"region removed", "corners covered"} <= states(cheating, "flagged")
    assert all(verdict.advice for verdict in one.verdicts if verdict.state == "flagged")
    assert cheating.to_json()["verdict"] == "flagged"


@pytest.mark.slow
def test_a_clean_model_is_not(clean):
    (one,) = clean.findings
    assert one.auroc.mean > 0.9
    assert states(clean, "flagged") == set(), [verdict.reason for verdict in one.verdicts]
    assert {"region removed", "corners covered"} <= states(clean, "ok")


@pytest.mark.slow
@pytest.mark.browser
def test_page_shows_verdicts_and_pictures_and_needs_nothing_else(cheating, tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: scripts/setup --dev")
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed: scripts/setup --dev")
    report(cheating, tmp_path)
    asked: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1100, "height": 1330})
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "audit.html").as_uri())
        assert page.locator("td.flagged").count() == len(states(cheating, "flagged"))
        assert page.locator("td.flagged").first.evaluate("cell => getComputedStyle(cell).fontWeight") == "700"
        drawn = page.locator("img").evaluate_all("all => all.map(one => one.complete && one.naturalWidth)")
        keep_picture(page, "audit")
        browser.close()
    assert len(drawn) == 1
    assert drawn[0] > 500
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
