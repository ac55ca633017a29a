"""A word on a case, a training, and another model version, all from the panel; the server is asked what came of it."""

from __future__ import annotations

import re

import pytest

from .doing import confirm, open_case, said, unfold
from .pictures import keep_picture
from .serving import TASK, add_version

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]


def test_a_case_is_accepted_reopened_rejected_and_skipped_with_what_the_server_allows(page, place, tmp_path):
    series = place.series[0]
    file = place.draft(series, tmp_path).get_filename()
    label = place.submit(series, tmp_path / file, user="anna")
    panel = open_case(page, place, 0)
    panel.locator("#standing", has_text=re.compile("submitted by anna")).wait_for()
    assert _offered(panel) == {"accept", "reject", "reopen"}

    panel.locator("#accept").click()
    panel.locator("#standing", has_text="accepted by browser-test").wait_for()
    assert _offered(panel) == {"reopen"}
    assert _standing(place, series)["annotation_id"] == label
    panel.locator("#reopen").click()
    confirm(panel, "apex missing")
    panel.locator("#standing", has_text="reopened by browser-test").wait_for()
    panel.locator("#standing", has_text="apex missing").wait_for()

    panel.locator("#skip").click()
    panel.locator("dialog #yes").click()
    assert panel.locator("dialog[open]").count() == 1  # a reason is needed
    confirm(panel, "motion")
    panel.locator("#standing", has_text="skipped by browser-test").wait_for()
    said(panel, "Go on with the next")
    with place.api as api:
        entries = api.get("/carina/audit", params={"image": series.series_instance_uid}).json()["entries"]
        queue = api.get("/carina/queue", params={"user": "browser-test", "task": TASK}).json()
    said_of_it = [entry for entry in entries if entry["action"] in {"accept", "reopen", "skip"}]
    words = [(entry["action"], entry["user"], entry["details"].get("reason")) for entry in said_of_it][-3:]
    assert [action for action, *_ in words] == ["accept", "reopen", "skip"]
    assert words[1:] == [("reopen", "browser-test", "apex missing"), ("skip", "browser-test", "motion")]
    panel.locator("#queue", has_text=f"{queue['left']} left · {queue['closed']} of {queue['total']} done").wait_for()
    panel.locator("#reopen").click()
    confirm(panel)
    panel.locator("#standing", has_text="reopened").wait_for()


def test_a_training_is_followed_found_again_and_judged_and_another_version_served(page, place, tmp_path):
    served = add_version(place)
    for series in place.series:
        place.submit(series, tmp_path / place.draft(series, tmp_path).get_filename(), user="anna")
    panel = open_case(page, place, 2)
    panel.locator("#standing", has_text="submitted").wait_for()
    panel.locator("#reject").click()
    confirm(panel, "sides swapped")
    panel.locator("#standing", has_text="rejected by browser-test").wait_for()
    place.submit(place.series[2], tmp_path / f"{place.series[2].series_instance_uid}.nii.gz", user="anna")

    unfold(panel, "training")
    panel.locator("#train").click()
    panel.locator("#training-cancel").wait_for()
    page.reload()
    panel = page.locator("carina-panel")
    panel.locator("#verdict").or_(panel.locator("#training-cancel")).first.wait_for()
    panel.locator("#verdict").wait_for()
    with place.api as api:
        job = api.get("/carina/jobs", params={"kind": "train"}).json()[-1]
        listed = api.get(f"/carina/models/{TASK}").json()
    result = job["result"]
    assert job["state"] == "succeeded", job["error"]
    assert result["reason"] in panel.locator("#verdict").inner_text()
    curve = panel.locator("carina-training svg")
    assert f"after {result['epochs']} epoch" in curve.get_attribute("aria-label")
    assert len(panel.locator("polyline.loss").get_attribute("points").split()) == result["epochs"]
    unfold(panel, "models")
    panel.locator("#models li").last.scroll_into_view_if_needed()
    keep_picture(page, "ohif-training")

    new = result["version"]
    assert listed["served"] == (new if result["promoted"] else served)
    if not result["promoted"]:
        panel.locator(f"#promote-{new}").click()
        confirm(panel, "to try it")
        said(panel, f"{new} is served")
    panel.locator(".model", has_text=f"Model {new}").wait_for()
    panel.locator("#rollback").click()
    confirm(panel, "it missed an apex")
    said(panel, f"{served} is served")
    panel.locator(".model", has_text=f"Model {served}").wait_for()
    with place.api as api:
        models = api.get(f"/carina/models/{TASK}").json()
    last = models["history"][-1]
    assert (models["served"], last["action"], last["by"], last["reason"]) == (
        served, "rollback", "browser-test", "it missed an apex",
    )  # fmt: skip


def _offered(panel) -> set[str]:
    buttons = panel.locator("[aria-label='A word on this case'] button").all()
    return {button.get_attribute("id") for button in buttons}


def _standing(place, series) -> dict:
    with place.api as api:
        return api.get(f"/carina/cases/{series.series_instance_uid}/standing", params={"task": TASK}).json()
