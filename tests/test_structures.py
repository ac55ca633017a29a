from __future__ import annotations

import subprocess
import sys

import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as DicomCode

from carina.errors import ConfigurationError, LabelError
from carina.findings import FINDINGS
from carina.structures import STRUCTURES, TOTALSEGMENTATOR_V1, label_set

THORAX = ("lung_left", "lung_right", "heart", "trachea", "spine", "nodule")


def test_the_public_bundle_has_its_104_classes_in_order():
    assert len(TOTALSEGMENTATOR_V1) == len(set(TOTALSEGMENTATOR_V1)) == 104
    known = {1: "spleen", 5: "liver", 7: "aorta", 18: "vertebrae_L5", 41: "vertebrae_C1", 44: "heart_myocardium"}
    known |= {53: "iliac_vena_left", 58: "rib_left_1", 92: "sacrum", 93: "face", 104: "urinary_bladder"}
    assert {number: TOTALSEGMENTATOR_V1[number - 1] for number in known} == known


@pytest.mark.parametrize("name", ["sternum", "prostate", "kidney_cyst_left", "vertebrae_S1", "spinal_cord", *THORAX])
def test_names_beyond_version_1_are_there(name):
    assert name in STRUCTURES


def test_name_and_codes_identify_each_structure():
    keys = {
        (structure.type.value, structure.modifier, structure.region, structure.region_modifier)
        for structure in STRUCTURES.values()
    }
    assert len(keys) == len(STRUCTURES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("liver", codes.SCT.Liver),
        ("aorta", codes.SCT.Aorta),
        ("lung_left", codes.SCT.Lung),
        ("heart", codes.SCT.Heart),
        ("trachea", codes.SCT.Trachea),
        ("spine", codes.SCT.Spine),
        ("nodule", codes.SCT.Nodule),
        ("heart_atrium_left", codes.SCT.LeftAtrium),
        ("heart_atrium_right", codes.SCT.RightAtrium),
        ("heart_ventricle_left", codes.SCT.LeftVentricle),
        ("heart_ventricle_right", codes.SCT.RightVentricle),
        ("pulmonary_artery", codes.SCT.PulmonaryArtery),
        ("face", codes.SCT.Face),
        ("iliac_vena_left", codes.SCT.CommonIliacVein),
        ("iliac_artery_right", codes.SCT.CommonIliacArtery),
        ("subclavian_artery_left", codes.SCT.SubclavianArtery),
        ("vertebrae_T12", codes.SCT.T12Vertebra),
        ("lung_middle_lobe_right", codes.SCT.MiddleLobeOfRightLung),
        ("cardiomediastinum", codes.SCT.Mediastinum),
        ("airways", codes.SCT.AirwayStructure),
        ("ground_glass_opacity", codes.DCM.GroundGlassOpacity),
    ],
)
def test_codes_are_those_of_the_standard(name, expected):
    found = STRUCTURES[name].type
    assert DicomCode(found.value, found.scheme, found.meaning) == expected


def test_consolidation_has_one_code_as_a_structure_and_as_a_finding():
    assert STRUCTURES["consolidation"].type == FINDINGS["consolidation"]


def test_every_side_in_a_name_is_in_its_codes():
    for name, structure in STRUCTURES.items():
        meanings = " ".join(
            code.meaning for code in (structure.type, structure.modifier, structure.region_modifier) if code
        )
        for side in ("left", "right"):
            if side in name.split("_"):
                assert side in meanings.lower(), name


def test_indices_follow_the_order_given():
    assert label_set(*THORAX).indices == {name: index for index, name in enumerate(THORAX, start=1)}


def test_a_misspelt_name_is_refused_with_the_likely_one():
    with pytest.raises(LabelError, match="'liver'"):
        label_set("livr")


def test_a_repeated_name_is_refused():
    with pytest.raises(ConfigurationError, match="unique"):
        label_set("liver", "liver")


def test_the_catalogue_needs_no_torch():
    code = "import sys, carina.structures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
