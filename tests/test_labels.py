"""Label identity: by name, never by order."""

from __future__ import annotations

import pytest

from carina.errors import ConfigurationError, LabelError
from carina.labels import Code, Label, LabelSet
from carina.structures import label_set

ORGAN = Code("123037004", "SCT", "Anatomical Structure")


def make(name: str, index: int) -> Label:
    return Label(name=name, index=index, category=ORGAN, type=Code(str(index), "99TEST", name))


def test_indices_follow_the_declaration_not_the_order_of_the_arguments():
    labels = LabelSet([make("liver", 2), make("spleen", 1)])
    assert labels.indices == {"spleen": 1, "liver": 2}
    assert [label.name for label in labels] == ["spleen", "liver"]
    assert labels.at(2).name == "liver"


@pytest.mark.parametrize("indices", [(1, 3), (0, 1), (1, 1)])
def test_refuses_indices_with_gaps_repeats_or_background(indices):
    with pytest.raises(ConfigurationError, match="without gaps"):
        LabelSet([make("a", indices[0]), make("b", indices[1])])


def test_refuses_two_labels_of_one_name():
    with pytest.raises(ConfigurationError, match="unique"):
        LabelSet([make("a", 1), make("a", 2)])


def test_an_unknown_name_says_what_was_probably_meant():
    labels = LabelSet([make("liver", 1), make("spleen", 2)])
    with pytest.raises(LabelError, match="Did you mean 'liver'"):
        labels.named("livr")


@pytest.mark.parametrize("index", [0, 3, -1])
def test_an_index_outside_the_set_is_an_error(index):
    with pytest.raises(LabelError, match=r"1…2"):
        LabelSet([make("a", 1), make("b", 2)]).at(index)


def test_a_foreign_numbering_is_mapped_by_name_and_unknown_names_are_left_out():
    labels = LabelSet([make("liver", 1), make("aorta", 2)])
    assert labels.remap({"aorta": 52, "liver": 5, "colon": 20}) == {52: 2, 5: 1}


def test_a_foreign_numbering_with_one_value_for_two_names_is_refused():
    with pytest.raises(LabelError, match="own voxel value"):
        LabelSet([make("liver", 1), make("aorta", 2)]).remap({"aorta": 1, "liver": 1})


def test_the_other_side_is_found_by_name_and_only_within_the_set():
    labels = label_set("lung_left", "heart", "lung_right", "kidney_left")
    across = {label.name: other.name for label in labels if (other := labels.other_side(label)) is not None}
    assert across == {"lung_left": "lung_right", "lung_right": "lung_left"}
    assert [label.name for label in labels.exchanged] == ["lung_right", "heart", "lung_left", "kidney_left"]


def test_a_side_is_known_by_name_or_by_code():
    coded = Label(name="lungs", index=1, category=ORGAN, type=ORGAN, modifier=Code("7771000", "SCT", "Left"))
    assert coded.has_side
    assert make("hip_right", 1).has_side
    assert not make("heart", 1).has_side
