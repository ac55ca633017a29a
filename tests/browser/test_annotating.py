"""One case in a real browser: open, draft, paint, submit, come back, go on to the next."""

from __future__ import annotations

import json
import re
import time
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import highdicom
import httpx
import nibabel as nib
import numpy as np
import pytest

from .doing import open_case, open_series, paint, said
from .onscreen import by_instance, labels_on_screen, pixels_on_screen, same

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]


def test_a_draft_is_corrected_with_the_mouse_submitted_and_found_again(page, place, series, tmp_path):
    panel = open_series(page, place, series)
    panel.locator("#draft-start").click()
    said(panel, "Correct it, then submit")

    drafted = labels_on_screen(page)
    draft = place.draft(series, tmp_path)
    expected = by_instance(np.asarray(draft.dataobj), series.files)
    assert {1, 2} <= set(np.unique(list(expected.values())))
    assert same(drafted, expected)

    paint(page)
    panel.locator("#submit", has_text="Submit changes").wait_for()
    painted = labels_on_screen(page)
    changed = [uid for uid in painted if not np.array_equal(painted[uid], drafted[uid])]
    assert len(changed) == 1
    stroke = painted[changed[0]][painted[changed[0]] != drafted[changed[0]]]
    assert len(stroke) > 50
    assert set(stroke) == {1}

    panel.locator("#submit").click()
    said(panel, "in the PACS as a SEG")
    assert same(_seg_in_pacs(place, series), painted)

    page.reload()
    page.locator("carina-panel #latest").wait_for()
    page.locator("[data-cy=seriesList-btn]").click()
    page.locator("[data-cy=study-browser-thumbnail-no-image]", has_text="SEG").dblclick()
    page.get_by_text("LOAD", exact=True).click()
    page.locator("[data-cy=data-row]", has_text="spine").wait_for()
    assert same(labels_on_screen(page), painted)

    page.locator("[data-cy=carina-btn]").click()
    panel = page.locator("carina-panel")
    panel.locator("#latest").click()
    panel.locator("#segment-1").wait_for()
    assert same(labels_on_screen(page), painted)
    ml = 1e-3 * abs(np.linalg.det(draft.affine[:3, :3]))
    panel.locator("#segment-2 .size", has_text=re.compile(r"\d")).wait_for()
    assert float(panel.locator("#segment-2 .size").inner_text()) == pytest.approx(
        ml * sum(int((s == 2).sum()) for s in painted.values()), abs=0.5
    )


@pytest.mark.parametrize("number", [1, 2])
def test_compressed_slices_are_shown_as_they_were_stored(page, place, number):
    place.forget(place.series[number])
    panel = open_case(page, place, number)
    panel.locator("#empty").click()
    panel.locator("#segment-1").wait_for()
    page.wait_for_function("document.querySelector('[data-cy=viewport-pane] canvas')")
    shown = pixels_on_screen(page)
    stored = by_instance(place.phantoms[number].image.array, place.series[number].files)
    assert shown
    assert all(np.array_equal(shown[uid], stored[uid]) for uid in shown)
    assert not any(slice_.any() for slice_ in labels_on_screen(page).values())


def test_a_task_without_a_model_says_so_in_words_and_the_next_case_has_no_label(page, place, tmp_path):
    label = tmp_path / "label.nii.gz"
    heart = (place.phantoms[0].label.array == place.phantoms[0].structures["heart"]).astype(np.uint8)
    nib.save(nib.Nifti1Image(heart, place.phantoms[0].label.grid.affine_ras), label)
    with httpx.Client(base_url=place.server.url, trust_env=False, timeout=60) as server:
        names = [{"name": "heart", "idx": 1}]
        done = server.put(
            "/datastore/label",
            params={"image": place.series[1].series_instance_uid},
            data={"params": json.dumps({"label_info": names, "model": "thorax_ct"})},
            files={"label": ("label.nii.gz", label.read_bytes())},
        )
        assert done.status_code == 200, done.text

    panel = open_case(page, place, 1)
    panel.locator("#task").select_option("thorax_ct")
    panel.locator("#draft-start").click()
    said(panel, "train")
    panel.locator("#next").click()
    page.wait_for_url(lambda url: place.series[1].study_instance_uid not in url)
    (chosen,) = parse_qs(urlsplit(page.url).query)["initialSeriesInstanceUID"]
    with place.api as server:
        standing = server.get(f"/carina/cases/{chosen}/standing", params={"task": "thorax_ct"}).json()
    assert standing["state"] == "unlabelled"
    assert standing["lease"]["holder"] == "browser-test"
    panel.locator("#standing", has_text="yours until").wait_for()
    panel.locator("#why", has_text="Chosen by the strategy").wait_for()


def _seg_in_pacs(place, series) -> dict[str, np.ndarray]:
    """The newest SEG of a study, read by highdicom, as label indices by source instance."""
    find = {"Level": "Instance", "Query": {"Modality": "SEG", "StudyInstanceUID": series.study_instance_uid}}
    deadline = time.monotonic() + 120
    with place.orthanc as orthanc:
        while len(found := orthanc.post("/tools/find", json=find).json()) != 1:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        content = orthanc.get(f"/instances/{found[0]}/file").content
    seg = highdicom.seg.segread(BytesIO(content))
    uids = list(by_instance(np.zeros((1, 1, len(series.files))), series.files))
    masks = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    index = {"lung_left": 1, "spine": 2}
    labels = np.zeros(masks.shape[:3], np.uint8)
    for number in seg.segment_numbers:
        labels[masks[..., number - 1] == 1] = index[str(seg.get_segment_description(number).segment_label)]
    return dict(zip(uids, labels, strict=True))
