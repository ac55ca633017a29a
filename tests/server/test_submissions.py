from __future__ import annotations

import pytest

from carina.errors import InvalidInputError, LabelError, UnknownNameError
from carina.server.submissions import label_names, task_of


def test_slicer_s_list_becomes_names():
    info = [{"name": "heart", "idx": 5, "color": [1, 2, 3]}, {"name": "aorta"}]
    assert label_names(info) == {"heart": 5, "aorta": 2}
    assert label_names([]) is None
    assert label_names(None) is None


@pytest.mark.parametrize(
    "info", ["heart", {"heart": 1}, ["heart"], [{"idx": 1}], [{"name": "a", "idx": "1"}], [{"name": "a", "idx": True}]]
)
def test_other_forms_are_refused(info):
    with pytest.raises(LabelError, match="label_info"):
        label_names(info)


def test_a_repeated_name_is_refused():
    with pytest.raises(LabelError, match="once"):
        label_names([{"name": "a", "idx": 1}, {"name": "a", "idx": 2}])


def test_the_task_that_knows_most_names_is_meant(services):
    assert task_of(services, {}, {"liver": 1, "spleen": 2}, drafted=[]).name == "wholebody_ct"
    assert task_of(services, {}, {"heart": 1, "spine": 2}, drafted=[]).name == "thorax_ct"


def test_among_equals_the_last_draft_counts_then_the_smaller_task(services):
    both = {"trachea": 1}
    assert task_of(services, {}, both, drafted=["thorax_ct", "wholebody_ct"]).name == "wholebody_ct"
    assert task_of(services, {}, both, drafted=[]).name == "thorax_ct"


def test_names_of_no_task_belong_to_none(services):
    assert task_of(services, {}, {"costal_cartilages": 1}, drafted=["thorax_ct"]) is None


def test_what_the_client_says_goes_first(services):
    assert task_of(services, {"model": "wholebody_ct"}, {"heart": 1}, drafted=[]).name == "wholebody_ct"
    with pytest.raises(UnknownNameError):
        task_of(services, {"task": "none"}, {"heart": 1}, drafted=[])


def test_without_names_the_drafting_task_is_meant_or_nobody_can_tell(services):
    assert task_of(services, {}, None, drafted=["wholebody_ct", "thorax_ct"]).name == "thorax_ct"
    with pytest.raises(InvalidInputError, match="label_info"):
        task_of(services, {}, None, drafted=[])
