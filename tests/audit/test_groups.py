from __future__ import annotations

import pytest

from carina.audit.groups import read_groups
from carina.errors import InvalidInputError

FINDINGS = ("covid19",)


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("image,patient,covid19,Sex,age,site\na.png,p1,1,F,17,north\nb,p2,0,M,065Y,south\nc,p3,1,,,north\n")
    return path


def test_usual_columns_count_and_ages_become_groups(labels):
    assert read_groups(labels, None, findings=FINDINGS) == {
        "Sex": {"a": "F", "b": "M"},
        "age": {"a": "0–17", "b": "65+"},
    }


def test_named_columns_count(labels):
    assert read_groups(labels, "site", findings=FINDINGS) == {"site": {"a": "north", "b": "south", "c": "north"}}


def test_every_column_of_a_table_of_its_own_counts(labels, tmp_path):
    own = tmp_path / "more.csv"
    own.write_text("image,device,patient\na,X1,p1\nc,X2,p3\n")
    assert read_groups(labels, str(own), findings=FINDINGS) == {"device": {"a": "X1", "c": "X2"}}


@pytest.mark.parametrize(
    ("wanted", "said"), [("sit", "Did you mean 'site'"), ("nowhere.csv", "--subgroups must name a table")]
)
def test_what_is_not_there_is_said(labels, wanted, said):
    with pytest.raises(InvalidInputError, match=said):
        read_groups(labels, wanted, findings=FINDINGS)


def test_ages_that_are_none_and_columns_that_are_no_groups_are_refused(labels, tmp_path):
    many = tmp_path / "many.csv"
    many.write_text("image,age,number\n" + "".join(f"i{n},{'old' if n == 3 else 50},{n}\n" for n in range(20)))
    with pytest.raises(InvalidInputError, match="must be a number of years"):
        read_groups(many, "age", findings=FINDINGS)
    with pytest.raises(InvalidInputError, match="at most 12 values"):
        read_groups(many, "number", findings=FINDINGS)
