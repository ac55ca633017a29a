"""A report in sentences says who says what, and how sure the model was."""

from __future__ import annotations

from carina.dicom.provenance import Provenance
from carina.dicom.report_text import report_text
from carina.measurements import Measurement
from tests.dicom.test_sr import BY_HAND, SAID

DRAFT = Provenance(algorithm_type="AUTOMATIC", task="cxr_findings", model_version="v3", user="Doe^Jane")
HAND = Provenance(algorithm_type="MANUAL", task="cxr_findings", user="Doe^Jane")


def test_a_draft_says_likely_instead_of_present_and_that_nobody_confirmed_it():
    measured = [Measurement(name="cardiothoracic_ratio", value=0.5, task="cxr_anatomy", model_version="v7")]
    assert report_text(SAID, provenance=DRAFT, measurements=measured) == (
        "Likely: Pneumothorax. Unlikely: Pleural effusion. Uncertain: Pleural thickening. The model's draft (carina "
        "cxr_findings, v3) had as probabilities: Pneumothorax 0.91, Pleural effusion 0.06, Pleural thickening 0.50. "
        "Measured on what carina cxr_anatomy, v7, drew: Cardiothoracic ratio 0.500. "
        "This is a model's draft that nobody has confirmed."
    )


def test_a_reader_s_own_report_speaks_of_no_model():
    assert report_text(BY_HAND, provenance=HAND) == (
        "Present: Pulmonary edema. Absent: Mass. Unsure: Nodule. A reader answered without a model's draft."
    )
