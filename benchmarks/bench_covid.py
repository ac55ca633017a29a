"""AUROC of `cxr_covid19` on the radiographs of the test data: folds by patient, with and without a crop to the lungs.

Nothing is tuned on the fold that is measured; a fold that is done is kept in `--out` and not trained again. The crop
takes the lungs as people drew them: what `roi=lungs` gives with a perfect `cxr_anatomy`.

    CARINA_TEST_DATA=data python benchmarks/bench_covid.py --out covid/ [--folds 5] [--quick] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from radiographs import Radiograph, environment, folds_of, next_fold_chooses, radiographs, train_fold

from carina.geometry import Volume
from carina.models.calibration import expected_calibration_error
from carina.models.ranking import METRICS, ranking_interval
from carina.regions import region_around
from carina.registry import find_tasks
from carina.trainers.cases import FindingsCase

SPEC = find_tasks().get("cxr_covid19")
ROIS = ("image", "lungs")
QUICK_EPOCHS = 4


def case_of(radiograph: Radiograph, roi: str) -> FindingsCase:
    """A case that loads the whole image, or the box around its lungs."""

    def load() -> Volume:
        image = radiograph.image()
        return region_around(radiograph.lungs(), image.grid).crop(image) if roi == "lungs" else image

    return FindingsCase(
        image_id=radiograph.image_id,
        patient_id=radiograph.patient,
        load=load,
        findings={"covid19": radiograph.row["covid19"] == "1"},
        revision=roi,
    )


def run_fold(cases: list[FindingsCase], folds: list[list[str]], fold: int, *, folder: Path, epochs: int) -> list[Any]:
    """Patient, truth and probability of every image of the fold; from the file of an earlier run if there is one."""
    done = folder / "cases.json"
    if not done.is_file():
        options = dataclasses.replace(SPEC.trainer, max_epochs=epochs)
        result = train_fold(cases, next_fold_chooses(folds, fold), spec=SPEC, folder=folder, options=options)
        rows = [
            [case.patient_id, case.truths["covid19"], case.probabilities["covid19"]] for case in result.evaluation.cases
        ]
        done.write_text(json.dumps(rows))
    return json.loads(done.read_text())


def summary(folds: list[list[Any]]) -> dict[str, Any]:
    """Metrics over all images, each measured by the model that had not seen its patient; and the folds' own AUROC."""
    rows = [row for fold in folds for row in fold]
    patients = [row[0] for row in rows]
    truths, probabilities = np.array([row[1] for row in rows], bool), np.array([row[2] for row in rows], float)
    content: dict[str, Any] = {
        name: ranking_interval(metric, probabilities, truths, patients=patients).to_json()
        for name, metric in METRICS.items()
    }
    content["ece_10_bins"] = expected_calibration_error(probabilities, truths, bins=10)
    content["auroc_per_fold"] = [
        METRICS["auroc"](np.array([row[2] for row in fold]), np.array([row[1] for row in fold], bool)) for fold in folds
    ]
    return content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help=f"the first two folds, {QUICK_EPOCHS} epochs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    epochs = QUICK_EPOCHS if arguments.quick else SPEC.trainer.max_epochs
    found = radiographs()
    answers = {one.patient: one.row["covid19"] == "1" for one in found}
    folds = folds_of(answers, count=arguments.folds)
    report: dict[str, Any] = {
        **environment(), "images": len(found), "patients": len(answers), "epochs": epochs, "quick": arguments.quick,
    }  # fmt: skip
    for roi in ROIS:
        cases, rows = [case_of(one, roi) for one in found], []
        started = time.monotonic()
        for fold in range(2 if arguments.quick else arguments.folds):
            folder = arguments.out / f"{roi}-{arguments.folds}-{fold}-{epochs}"
            folder.mkdir(parents=True, exist_ok=True)
            rows.append(run_fold(cases, folds, fold, folder=folder, epochs=epochs))
        report[f"roi={roi}"] = summary(rows)
        area = report[f"roi={roi}"]["auroc"]
        if not arguments.json:
            print(
                f"roi={roi}: AUROC {area['mean']:.3f} ({area['low']:.3f}–{area['high']:.3f}) on {area['n']} images, "
                f"ECE {report[f'roi={roi}']['ece_10_bins']:.3f}, {time.monotonic() - started:.0f} s",
                flush=True,
            )
    print(json.dumps(report) if arguments.json else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
