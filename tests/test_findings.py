"""The catalogue of findings: names, order and codes."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from carina.errors import LabelError
from carina.findings import FINDINGS, TORCHXRAYVISION, finding_set

# torchxrayvision 1.3, `xrv.datasets.default_pathologies`.
PATHOLOGIES = [
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion",
    "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture",
    "Lung Opacity", "Enlarged Cardiomediastinum",
]  # fmt: skip


def test_the_eighteen_are_those_of_torchxrayvision_in_their_order():
    assert [name.lower().replace(" ", "_") for name in PATHOLOGIES] == list(TORCHXRAYVISION)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("pneumothorax", codes.SCT.Pneumothorax),
        ("edema", codes.SCT.PulmonaryEdema),
        ("effusion", codes.SCT.PleuralEffusion),
        ("nodule", codes.SCT.Nodule),
        ("mass", codes.SCT.Mass),
        ("lung_lesion", codes.SCT.Lesion),
        ("infiltration", codes.DCM.Infiltrate),
        ("lung_opacity", codes.DCM.Opacity),
    ],
)
def test_codes_are_those_of_the_standard_as_pydicom_has_them(name, known):
    code = FINDINGS[name]
    assert (code.value, code.scheme) == (known.value, known.scheme_designator)


def test_codes_are_unique():
    assert len({(code.value, code.scheme) for code in FINDINGS.values()}) == len(FINDINGS)


def test_unknown_finding_says_what_was_meant():
    with pytest.raises(LabelError, match="pneumonia"):
        finding_set("pneumonja")


def test_more_findings_than_a_label_map_holds_are_no_problem():
    assert len(finding_set(*TORCHXRAYVISION)) == 18


def test_no_code_means_something_else_in_the_tables_of_the_standard():
    """287272002 does: it is listed as cardiomegaly, and as a large septal foramen."""
    meanings = [
        (scheme, code.value, code.meaning.lower())
        for scheme, table in (("SCT", codes.SCT), ("DCM", codes.DCM))
        for code in table.concepts.values()
    ]
    ours = {(code.scheme, code.value): code.meaning.lower() for code in FINDINGS.values()}
    shared = [(scheme, value, meaning) for scheme, value, meaning in meanings if (scheme, value) in ours]
    assert len(shared) >= 8
    assert [row for row in shared if row[2] != ours[row[:2]]] == []
