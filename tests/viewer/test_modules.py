"""The viewer's modules that need no browser, run by Node.js and held against nibabel and NumPy."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from carina.configs.nodule_malignancy import TASK as NODULE_MALIGNANCY
from carina.configs.scribbles import TASK as SCRIBBLES
from carina.configs.thorax_ct_clicks import TASK as THORAX_CT_CLICKS
from carina.dicom.frames import SPACINGS_IN_A_RADIOGRAPH
from carina.geometry import Grid
from carina.infers.prompts import Strokes, clicks_of, place_of, strokes_of
from carina.sizes import size_unit
from carina.task import PROJECTIONS
from carina.viewer.build import modules_folder

ORIENTATIONS = ("LPS", "RAI", "SLA", "PIR")


@pytest.fixture(scope="module")
def node() -> str:
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed")
    return program


@pytest.fixture
def run(node, tmp_path):
    """Run the body of an async function that sees the viewer's modules; returns what it returns."""

    def call(body: str, **values) -> object:
        imports = "".join(
            f"import * as {name} from {json.dumps((modules_folder() / f'{name}.js').as_uri())};\n"
            for name in (
                "nifti",
                "grid",
                "drafting",
                "labels",
                "measures",
                "curve",
                "fit",
                "delivery",
                "clicks",
                "strokes",
                "places",
                "sizes",
                "sheets",
            )
        )
        script = tmp_path / "script.mjs"
        script.write_text(
            f"import {{ readFile, writeFile }} from 'node:fs/promises';\n{imports}"
            f"const given = {json.dumps(values)};\n"
            f"const result = await (async () => {{ {body} }})().catch((error) => ({{ error: error.message }}));\n"
            "console.log(JSON.stringify(result));\n"
        )
        ran = subprocess.run([node, script], capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return call


def oblique(shape: tuple[int, int, int], codes: str) -> np.ndarray:
    """An affine whose axes run as `codes` say, turned a little, with three different spacings."""
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    axes = np.zeros((3, 3))
    for column, letter in enumerate(codes):
        row = next(row for row, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        axes[row, column] = -1 if letter in "LPI" else 1
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag([0.7, 1.3, 2.5])
    affine[:3, 3] = (11.0, -23.0, 37.0)
    return affine


def planes_of(affine_ras: np.ndarray, shape: tuple[int, int, int]) -> list[dict]:
    """What Cornerstone says of each slice of a grid, by DICOM's own definitions (PS3.3 C.7.6.2.1.1)."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return [
        {
            "rows": shape[1],
            "columns": shape[0],
            "rowCosines": (lps[:3, 0] / spacing[0]).tolist(),
            "columnCosines": (lps[:3, 1] / spacing[1]).tolist(),
            "columnPixelSpacing": spacing[0],
            "rowPixelSpacing": spacing[1],
            "sliceThickness": spacing[2],
            "imagePositionPatient": (lps @ [0, 0, index, 1])[:3].tolist(),
        }
        for index in range(shape[2])
    ]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_label_map_written_by_nibabel_is_read_voxel_by_voxel(run, tmp_path, dtype):
    array = np.random.default_rng(1).integers(0, 200, (5, 4, 3)).astype(dtype)
    affine = oblique(array.shape, "LPS")
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "label.nii.gz")
    read = run(
        "const {sizes, affineRas, data} = await nifti.readNifti(new Blob([await readFile(given.path)]));"
        "return {sizes, affineRas, data: [...data]};",
        path=str(tmp_path / "label.nii.gz"),
    )
    assert read["sizes"] == [5, 4, 3]
    assert np.allclose(np.reshape(read["affineRas"], (4, 4)), affine, atol=1e-5)
    assert read["data"] == array.ravel(order="F").tolist()


@pytest.mark.parametrize("kind", ["Uint8Array", "Uint16Array"])
def test_a_label_map_written_here_is_read_by_nibabel_voxel_by_voxel(run, tmp_path, kind):
    affine = oblique((5, 4, 3), "LPS")
    values = list(range(60))
    run(
        f"const data = new {kind}(given.values);"
        "const file = await nifti.writeNifti({sizes: [5, 4, 3], affineRas: given.affine, data});"
        "await writeFile(given.path, Buffer.from(await file.arrayBuffer())); return null;",
        affine=affine.ravel().tolist(),
        values=values,
        path=str(tmp_path / "label.nii.gz"),
    )
    image = nib.load(tmp_path / "label.nii.gz")
    assert image.get_data_dtype() == {"Uint8Array": np.uint8, "Uint16Array": np.uint16}[kind]
    assert np.allclose(image.affine, affine, atol=1e-5)
    assert np.asarray(image.dataobj).ravel(order="F").tolist() == values
    assert np.allclose(image.header.get_zooms(), [0.7, 1.3, 2.5], atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"no gzip at all", b"\x1f\x8b"])
def test_a_file_that_is_no_label_map_is_refused(run, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    answer = run(
        "await nifti.readNifti(new Blob([await readFile(given.path)])); return 1;", path=str(tmp_path / "file")
    )
    assert "error" in answer


@pytest.mark.parametrize("stored", ORIENTATIONS)
@pytest.mark.parametrize("shown", ["LPS", "LPI"])
def test_every_voxel_lands_where_it_lies_in_the_patient(run, stored, shown):
    """The label map's axes may run otherwise than the viewer's; nibabel's reorientation says where each voxel goes."""
    shape = (4, 3, 5)
    array = np.arange(60, dtype=np.uint8).reshape(shape)
    image = nib.Nifti1Image(array, oblique(shape, "LPS"))
    views = {codes: _turned(image, codes) for codes in (stored, shown)}
    source, target = views[stored], views[shown]
    answer = run(
        "const volume = {sizes: given.sizes, affineRas: given.affine, data: new Uint8Array(given.data)};"
        "return [...grid.placed(volume, grid.seriesGrid(given.planes))];",
        sizes=list(source.shape),
        affine=source.affine.ravel().tolist(),
        data=np.asarray(source.dataobj).ravel(order="F").tolist(),
        planes=planes_of(target.affine, target.shape),
    )
    assert answer == np.asarray(target.dataobj).ravel(order="F").tolist()


def _turned(image: nib.Nifti1Image, codes: str) -> nib.Nifti1Image:
    wanted = nib.orientations.axcodes2ornt(tuple(codes))
    return image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), wanted))


@pytest.mark.parametrize(
    "change",
    [
        lambda affine: affine @ np.diag([1.02, 1, 1, 1]),
        lambda affine: affine + np.array([[0, 0, 0, 0.4]] + [[0] * 4] * 3),
        lambda affine: affine @ np.diag([1, 1, 2.0, 1]),
    ],
)
def test_a_label_map_on_another_grid_is_refused_in_words(run, change):
    shape = (6, 5, 4)
    affine = oblique(shape, "LPS")
    answer = run(
        "const volume = {sizes: given.sizes, affineRas: given.affine, data: new Uint8Array(120)};"
        "return [...grid.placed(volume, grid.seriesGrid(given.planes))];",
        sizes=list(shape),
        affine=change(affine).ravel().tolist(),
        planes=planes_of(affine, shape),
    )
    assert "must lie on the voxels" in answer["error"]


def test_a_series_with_a_missing_slice_is_refused_in_words(run):
    planes = planes_of(oblique((4, 3, 5), "LPS"), (4, 3, 5))
    answer = run("return grid.seriesGrid(given.planes);", planes=planes[:2] + planes[3:])
    assert "evenly spaced" in answer["error"]


@pytest.mark.parametrize("shown", ["LPS", "LPI"])
def test_a_point_is_sent_as_the_server_counts_voxels_whichever_way_the_slices_are_shown(run, shown):
    shape, voxel = (6, 5, 4), [4, 1, 0]
    image = nib.Nifti1Image(np.zeros(shape, np.uint8), oblique(shape, "LPS"))
    view = _turned(image, shown)
    inside, far = image.affine @ [4.3, 0.8, -0.4, 1], image.affine @ [4, 1, -0.6, 1]
    body = (
        "const on = {task: given.task, grid: grid.seriesGrid(given.planes)};return clicks.clicksOf(given.points, on);"
    )
    task = {"name": "thorax_ct_clicks", "labels": [label("heart", 1)]}
    planes = planes_of(view.affine, view.shape)
    points = [{"label": name, "at": [(inside[:3] * [-1, -1, 1]).tolist()]} for name in ("heart", "background", "heart")]
    sent = run(body, task=task, planes=planes, points=points)
    assert clicks_of(sent, THORAX_CT_CLICKS)["clicks"] == {"heart": [tuple(voxel)] * 2, "background": [tuple(voxel)]}
    off = run(body, task=task, planes=planes, points=[{"label": "heart", "at": [(far[:3] * [-1, -1, 1]).tolist()]}])
    assert "must lie on its series" in off["error"]
    other = run(body, task=task, planes=planes, points=[{**points[0], "label": "liver"}])
    assert "liver is none" in other["error"]


@pytest.mark.parametrize("shown", ["LPS", "LPI"])
@pytest.mark.parametrize("place", [(4, 1, 0), ((1, 4), (0, 3), (2, 4))], ids=["a voxel", "a box"])
def test_a_place_is_sent_as_the_server_reads_it_and_shown_at_its_middle(run, shown, place):
    image = nib.Nifti1Image(np.zeros((6, 5, 4), np.uint8), oblique((6, 5, 4), "LPS"))
    view = _turned(image, shown)
    body = (
        "const {at, slice} = places.middleOf(grid.seriesGrid(given.planes), given.place);"
        "return {at, slice, sent: places.placePrompts(given.place), key: places.placeKey(given.place)};"
    )
    answer = run(body, planes=planes_of(view.affine, view.shape), place=place)
    assert place_of(answer["sent"], NODULE_MALIGNANCY) == {"place": place}
    i, j, k = (at if isinstance(at, int) else (sum(at) - 1) / 2 for at in place)
    middle = (image.affine @ [i, j, np.floor(k + 0.5), 1])[:3] * [-1, -1, 1]
    np.testing.assert_allclose(answer["at"], middle, atol=1e-9)
    assert answer["slice"] == round((np.linalg.inv(view.affine) @ [*(middle * [-1, -1, 1]), 1])[2])
    assert json.loads(answer["key"]) == json.loads(json.dumps(place))


_SHEETS = """
const task = {name: "nodule_malignancy"}, all = new sheets.Sheets();
const at = (place) => ({task, image: "ct", place});
const open = (place, said) => all.open(at(place), said, sheets.about(given.stored, place));
open([4, 5, 6], sheets.saidBefore(given.stored.at(-1)));
open([1, 1, 1], sheets.NOTHING);
all.of(at([1, 1, 1])).answers.set("malignant_nodule", null);
open([1, 1, 1], {told: [{label: "malignant_nodule", score: 0.75}], model: "v3", measured: []});
return all.atPlaces(task, "ct").map(({place, told, answers, versions, model}) =>
  ({place, told: [...told.values()], answers: [...answers], versions, model}));
"""


def test_answers_are_kept_place_by_place_and_stay_when_the_model_is_asked_again(run):
    said = [{"label": "malignant_nodule", "score": 0.25, "state": "negative"}]
    whole = {"findings": {"malignant_nodule": True}, "unsure": []}
    newest = {"findings": {"malignant_nodule": False}, "prediction": said, "model_version": "v2"}
    stored = [whole, {**whole, "place": [4, 5, 6]}, {**newest, "place": [4, 5, 6]}]
    here, there = run(_SHEETS, stored=stored)
    assert (here["place"], here["versions"], here["model"]) == ([4, 5, 6], 2, "v2")
    assert (here["told"], here["answers"]) == (said, [["malignant_nodule", False]])
    assert (there["place"], there["versions"], there["model"]) == ([1, 1, 1], 0, "v3")
    assert (there["told"][0]["score"], there["answers"]) == (0.75, [["malignant_nodule", None]])


def test_strokes_are_painted_in_the_values_the_server_is_told_they_have(run):
    sent = run("return strokes.strokePrompts('spine', {corners: [], grid: null});")
    inside, outside = run("return [strokes.INSIDE.index, strokes.OUTSIDE.index];")
    assert inside != outside
    expected = Strokes(foreground=inside, background=outside, roi=None, selected="spine")
    assert strokes_of(sent, SCRIBBLES) == {"strokes": expected}


@pytest.mark.parametrize("shown", ["LPS", "LPI"])
def test_boxes_are_sent_as_the_voxels_between_their_corners_whichever_way_the_slices_are_shown(run, shown):
    image = nib.Nifti1Image(np.zeros((8, 7, 6), np.uint8), oblique((8, 7, 6), "LPS"))
    view = _turned(image, shown)
    body = (
        "const region = {corners: given.corners, grid: grid.seriesGrid(given.planes)};"
        "return strokes.strokePrompts('spine', region);"
    )
    planes = planes_of(view.affine, view.shape)
    voxels = [[1.2, 5.4, 2.1], [4.9, 3.7, 1.8], [0.8, 4, 4], [-3, 4.4, 4.2]]
    corners = [((image.affine @ [*voxel, 1])[:3] * [-1, -1, 1]).tolist() for voxel in voxels]
    sent = run(body, corners=corners, planes=planes)
    assert strokes_of(sent, SCRIBBLES)["strokes"].roi == ((0, 6), (4, 6), (2, 5))
    off = run(body, corners=corners[3:], planes=planes)
    assert "must lie on its series" in off["error"]


def test_what_is_cut_out_replaces_its_segment_and_leaves_the_others(run):
    drawn, cut = np.random.default_rng(5).integers(0, (4, 2), (200, 2)).T
    answer = run(
        "const drawn = Uint8Array.from(given.drawn);"
        "strokes.replaceSegment(drawn, Uint8Array.from(given.cut), 2); return [...drawn];",
        drawn=drawn.tolist(),
        cut=cut.tolist(),
    )
    others = np.isin(drawn, [1, 3])
    assert np.array_equal(answer, np.where(others, drawn, 2 * cut))


def test_what_is_odd_about_a_draft_is_said_and_nothing_of_a_plausible_one(run):
    odd = {"plausibility": {"score": 0.1, "reasons": ["airways is missing", "lung_left has holes of 9 % of its size"]}}
    answer = run("return given.drafts.map(drafting.doubts);", drafts=[odd, {"plausibility": {"reasons": []}}, {}])
    assert answer == ["Look closely: airways is missing; lung_left has holes of 9 % of its size.", "", ""]


def test_the_place_in_the_queue_counts_only_those_still_before(run):
    states = ["done", "running", "queued", "queued", "queued"]
    queue = [{"request_id": str(n), "state": state, "fraction": 0, "phase": "p"} for n, state in enumerate(states)]
    answer = run("return [2, 3, 1, 9].map((n) => drafting.described(given.queue, String(n)).text);", queue=queue)
    assert answer == ["waiting, 1 before you", "waiting, 2 before you", "p", "fetching the images"]


def test_every_module_that_another_imports_is_there():
    for module in modules_folder().glob("*.js"):
        for line in module.read_text().splitlines():
            if line.startswith("import "):
                name = line.split('"')[-2]
                assert (module.parent / name).is_file(), f"{module.name}: {name}"


def test_no_module_names_an_address_outside_this_server():
    for file in Path(modules_folder()).glob("*.*"):
        if file.suffix in (".js", ".css", ".html"):
            assert "://" not in file.read_text(), file.name


def label(name: str, index: int) -> dict:
    return {"name": name, "index": index, "colour": [index, 0, 0], "type": {}, "modifier": None}


def test_a_stored_version_keeps_its_numbers_and_the_task_s_other_labels_take_free_ones(run):
    tasks = [{"labels": [label("heart", 1), label("spine", 2), label("aorta", 3)]}, {"labels": [label("liver", 1)]}]
    stored = {"spine": 1, "liver": 7, "of_another_hospital": 3}
    answer = run(
        "return labels.labelsToContinue(given.stored, given.tasks[0], given.tasks);", stored=stored, tasks=tasks
    )
    numbers = {entry["name"]: entry["index"] for entry in answer}
    assert numbers == {**stored, "heart": 2, "aorta": 4}
    assert next(entry for entry in answer if entry["name"] == "spine")["colour"] == [2, 0, 0]


def test_a_version_with_more_than_255_numbers_is_refused_in_words(run):
    answer = run("return labels.labelsToContinue({heart: 256}, null, []);")
    assert "must not exceed 255" in answer["error"]


_MEASURE = """
const all = new measures.Measures({slices: given.labels.length, perVoxel: 0.002});
all.compares = true;
given.labels.forEach((slice, index) => all.set(index, measures.tally(Uint8Array.from(slice), {
  before: Uint8Array.from(given.before[index]), image: given.image[index] && Float32Array.from(given.image[index]),
})));
return Object.fromEntries(all.all);
"""


def test_segments_are_measured_as_numpy_measures_them(run):
    generator = np.random.default_rng(3)
    labels, before = generator.integers(0, 4, (2, 5, 60))
    before[:, :20] = labels[:, :20]
    image = generator.normal(40, 300, (5, 60)).round(2)
    labels[labels == 3] = 0  # drawn before, and erased
    answer = run(_MEASURE, labels=labels.tolist(), before=before.tolist(), image=image.tolist())
    assert set(answer) == {"1", "2", "3"}
    for index in (1, 2, 3):
        inside, was = labels == index, before == index
        row = answer[str(index)]
        assert row["voxels"] == inside.sum()
        assert row["size"] == pytest.approx(0.002 * inside.sum())
        assert row["dice"] == pytest.approx(2 * (inside & was).sum() / (inside.sum() + was.sum()))
        if inside.any():
            assert row["hu"] == pytest.approx(image[inside].mean(), rel=1e-4)
            assert inside.sum(axis=1)[row["slice"]] == inside.sum(axis=1).max()
    assert (answer["3"]["hu"], answer["3"]["slice"]) == (None, -1)


def test_a_mean_waits_for_every_slice_of_its_segment(run):
    labels = [[1, 1, 2], [1, 0, 0]]
    answer = run(_MEASURE, labels=labels, before=labels, image=[[10, 20, 30], None])
    assert (answer["1"]["hu"], answer["2"]["hu"]) == (None, 30)


@pytest.mark.parametrize("modality", ["CT", "MR", *sorted(PROJECTIONS)])
@pytest.mark.parametrize("keyword", [*SPACINGS_IN_A_RADIOGRAPH, None])
def test_the_panel_and_the_server_tell_sizes_in_the_same_unit(run, modality, keyword):
    header = {} if keyword is None else {keyword: [0.2, 0.15]}
    affine = np.diag([0.15, 0.2, 1.0, 1.0])
    expected = size_unit(
        Grid((8, 5, 1), affine), projection=modality in PROJECTIONS, pixel_size_known=keyword is not None
    )
    unit, texts = run(
        "return [sizes.sizeUnit({Modality: given.modality, instances: [given.header]}, "
        "{sizes: [8, 5, 1], affineRas: given.affine}), given.values.map(sizes.sizeText)];",
        modality=modality,
        header=header,
        affine=affine.ravel().tolist(),
        values=[0.04, 9.94, 10.6, 1073.7],
    )
    assert unit["shown"] == expected.shown
    assert unit["perVoxel"] == pytest.approx(expected.per_voxel)
    assert texts == [expected.number(size) for size in (0.04, 9.94, 10.6, 1073.7)]


@pytest.mark.parametrize("size", [16, 15])
def test_any_change_of_one_voxel_changes_a_slice_s_fingerprint(run, size):
    slices = np.zeros((size * 255 + 1, size), np.uint8)
    for number in range(1, len(slices)):
        slices[number, (number - 1) // 255] = (number - 1) % 255 + 1
    prints = run(
        "return given.slices.map((slice) => measures.fingerprint(Uint8Array.from(slice)));", slices=slices.tolist()
    )
    assert len(set(prints)) == len(slices)


def test_a_training_s_curve_runs_from_left_to_right_and_higher_is_up(run):
    points = run("return curve.points([2, undefined, 1, 0], {from: 0, to: 2});").split()
    places = [tuple(map(float, point.split(","))) for point in points]
    assert len(places) == 3
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted(y for _, y in places)
    assert run("return curve.points([5], {from: 0, to: 0});")


def test_a_localizer_is_unfit_and_an_axial_series_is_not(run):
    images = {"SeriesDescription": "topogram", "Modality": "CT", "imageIds": ["a"]}
    scout = {**images, "instances": [{"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}]}
    axial = {**images, "instances": [{"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}]}
    radiograph = {**images, "instances": [{"ImageType": ["ORIGINAL", "PRIMARY", None]}]}  # an empty third value
    reasons = run("return given.sets.map(fit.unfit);", sets=[scout, axial, radiograph])
    assert "“topogram” is a localizer" in reasons[0]
    assert reasons[1:] == [None, None]


def test_only_tasks_that_draw_a_modality_by_themselves_are_offered_for_it(run):
    tasks = [
        {"kind": "segmentation", "labels": ["lung_left"], "modality": ["DX", "CR"]},
        {"kind": "deepedit", "labels": ["spine"], "modality": ["CT"]},
        {"kind": "classification", "labels": ["edema"], "modality": ["DX"]},
        {"kind": "scribbles", "labels": [], "modality": ["CT", "DX"]},
    ]
    assert run("return given.tasks.map((task) => fit.draws(task, 'DX'));", tasks=tasks) == [True, False, False, False]
    assert run("return given.tasks.map((task) => fit.draws(task, 'CT'));", tasks=tasks) == [False, True, False, False]
    assert run("return given.tasks.map((task) => fit.tells(task, 'DX'));", tasks=tasks) == [False, False, True, False]
    assert not any(run("return given.tasks.map((task) => fit.tells(task, 'CT'));", tasks=tasks))


def test_a_version_of_findings_holds_no_label_map(run):
    versions = [
        {"labels": {"heart": 1}, "findings": {}, "unsure": []},
        {"labels": {}, "findings": {"edema": False}, "unsure": []},
        {"labels": {}, "findings": {}, "unsure": ["edema"]},
    ]
    assert run("return given.versions.map(fit.drawn);", versions=versions) == [True, False, False]


def test_what_a_pacs_keeps_from_arriving_is_said_until_it_has_arrived(run):
    states = [
        {"state": "pending", "last_error": None},
        {"state": "pending", "last_error": "The PACS does not answer."},
        {"state": "delivered", "last_error": None},
        {"state": "delivered", "document": "SR", "last_error": None},
    ]
    waiting, away, arrived, report = run("return given.states.map(delivery.described);", states=states)
    assert waiting is None
    assert report == {"kind": "good", "text": ", and in the PACS as a report (SR)."}
    assert "The PACS does not answer. It is delivered when the PACS is back." in away["text"]
    assert arrived["kind"] == "good"
