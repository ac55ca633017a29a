"""Three cases corrected in the viewer start a training by itself, and its model draws the next case better."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch

from carina.models.metrics import dice
from carina.models.store import ModelStore
from carina.networks.factory import build_network

from .doing import open_case, said, unfold
from .onscreen import by_instance, draw, labels_on_screen
from .serving import Place, plugin_config, running_place

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

TASK = "thorax_coarse"
ENOUGH = 3


@pytest.fixture
def learning_place(orthanc_installed: None, chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that retrains after three labels, with four studies and a model that has learnt nothing."""
    folder, environment = tmp_path_factory.mktemp("learning"), {"CARINA_RETRAIN_AFTER": str(ENOUGH)}
    with running_place(folder, studies=ENOUGH + 1, environment=environment) as made:
        spec, models = plugin_config(TASK), ModelStore(made.settings.models_dir)
        torch.manual_seed(0)
        state = build_network(spec).state_dict()
        version = models.add(TASK, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
        models.promote(TASK, version.version, reason="to begin with")
        yield made


def test_corrections_start_a_training_whose_model_draws_the_next_case_better(page, learning_place, capsys):
    place = learning_place
    panel = open_case(page, place, 0, task=TASK)
    before = []
    for number in range(ENOUGH):
        if number:
            panel = _next(page, panel)
        at = _open(page, place)
        before.append(_drafted(page, panel, place, at))
        draw(page, by_instance(_truth(place, at), place.series[at].files))
        panel.locator("#submit", has_text="Submit changes").click()
        said(panel, "Stored as version 1")

    unfold(panel, "training")
    panel.locator("#training-begun", has_text=f"started by itself: {ENOUGH} new labels").wait_for()
    panel.locator("#verdict").wait_for(timeout=300_000)
    assert "is served now" in panel.locator("#verdict").inner_text()
    panel = _next(page, panel)
    after = _drafted(page, panel, place, _open(page, place))
    panel.locator(".model", has_text="Model v2").wait_for()
    with capsys.disabled():
        sys.stdout.write(f"\n  Dice of drafts {np.round(before, 3).tolist()}, of the next case's {after:.3f}\n")
    assert after > max(before) + 0.3
    with place.api as api:
        (job,) = api.get("/carina/jobs", params={"kind": "train"}).json()
    assert (job["user"], job["result"]["promoted"]) == ("carina", True)


def _next(page, panel):
    """The panel, at the case that comes next."""
    here = page.url
    panel.locator("#next").click()
    page.wait_for_url(lambda url: url != here)
    panel = page.locator("carina-panel")
    panel.locator("#task").wait_for()
    assert panel.locator("#task").input_value() == TASK
    return panel


def _open(page, place: Place) -> int:
    """Which study is open."""
    query = parse_qs(urlsplit(page.url).query)
    return [series.study_instance_uid for series in place.series].index(query["StudyInstanceUIDs"][0])


def _drafted(page, panel, place: Place, at: int) -> float:
    """Have the open case drafted; mean Dice over the task's labels."""
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")
    drawn, truth = labels_on_screen(page), by_instance(_truth(place, at), place.series[at].files)
    labels = plugin_config(TASK).labels
    scores = [
        dice(*(np.stack([side[uid] == label.index for uid in truth]) for side in (drawn, truth))) for label in labels
    ]
    return float(np.mean(scores))


def _truth(place: Place, at: int) -> np.ndarray:
    """`(X, Y, Z)` the task's label indices, as the phantom has them."""
    phantom = place.phantoms[at]
    truth = np.zeros(phantom.label.array.shape, np.uint8)
    for label in plugin_config(TASK).labels:
        truth[phantom.label.array == phantom.structures[label.name]] = label.index
    return truth
