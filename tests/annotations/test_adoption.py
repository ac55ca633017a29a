"""Only what carries our provenance, or what a rule names, becomes an annotation; a machine's work is never final."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import Dataset

from carina.annotations.adoption import parse_rule, tag_of
from carina.annotations.annotation import HISTORY_TAG
from carina.errors import ConfigurationError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def seg(manufacturer: str, *, model: str = "", content: str = "", series: str = "") -> Dataset:
    dataset = Dataset()
    dataset.Manufacturer, dataset.ManufacturerModelName = manufacturer, model
    dataset.ContentDescription, dataset.SeriesDescription = content, series
    return dataset


OURS = seg("carina", model="carina", content="carina thorax_ct", series="carina thorax_ct")
OURS_WITHOUT_TASK = seg("carina", model="carina", content="carina")
ACME = seg("Acme Imaging", model="Lung AI", content="nodules", series="Lung AI findings")
REVIEWED = seg("Acme Imaging", series="Lung AI, Reviewed by reader")
COPYCAT = seg("Acme Imaging", model="Lung AI", content="carina thorax_ct")
PHANTOM = seg("carina", model="synthetic phantom", content="")


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        ("ours", [OURS, OURS_WITHOUT_TASK]),
        ("none", []),
        ("all", [OURS, OURS_WITHOUT_TASK, ACME, REVIEWED, COPYCAT, PHANTOM]),
        ("manufacturer:acme*", [ACME, REVIEWED, COPYCAT]),
        ("description:*reviewed*", [REVIEWED]),
        ("ours, description:*reviewed*", [OURS, OURS_WITHOUT_TASK, REVIEWED]),
        ("manufacturer:Nobody,description:Lung AI findings", [ACME]),
    ],
)
def test_a_rule_admits_what_it_names_and_nothing_else(rule, admitted):
    candidates = [OURS, OURS_WITHOUT_TASK, ACME, REVIEWED, COPYCAT, PHANTOM]
    parsed = parse_rule(rule)
    assert [candidate for candidate in candidates if parsed.admits(candidate)] == admitted


def test_an_object_without_any_maker_fits_no_pattern_by_accident():
    assert not parse_rule("ours,manufacturer:?*,description:?*").admits(Dataset())


@pytest.mark.parametrize("text", ["our", "all,ours", "none,ours", "manufacturer:", "vendor:Acme", "ours;all"])
def test_a_rule_that_says_something_else_is_refused(text):
    with pytest.raises(ConfigurationError, match="CARINA_ADOPT"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("algorithm_type", "made", "in_use_since", "tag"),
    [
        ("MANUAL", NOON, None, "final"),
        ("MANUAL", None, None, "final"),
        ("SEMIAUTOMATIC", NOON, NOON - timedelta(hours=1), "final"),
        ("SEMIAUTOMATIC", NOON, NOON + timedelta(hours=1), HISTORY_TAG),
        ("MANUAL", None, NOON, HISTORY_TAG),
        ("AUTOMATIC", NOON, None, "original"),
        ("AUTOMATIC", NOON, NOON - timedelta(hours=1), "original"),
    ],
)
def test_a_machine_s_work_is_a_draft_and_older_work_is_history(algorithm_type, made, in_use_since, tag):
    assert tag_of(algorithm_type, made=made, in_use_since=in_use_since) == tag
