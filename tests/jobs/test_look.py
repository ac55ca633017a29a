"""Images are looked at once per model version, with a model or without."""

from __future__ import annotations

import pytest

from carina.errors import InvalidInputError
from carina.jobs import look, score

from .conftest import SPEC, add_version


def test_every_image_is_looked_at_without_a_model_and_again_by_each_version(job_of, annotations, settings):
    looking = job_of(look)
    result = looking()
    assert (result["model_version"], result["seen"]) == ("", 3)
    plain = annotations.looks.newest(SPEC.name)
    assert all(not one.presence for one in plain.looks.values())
    assert looking("again")["already_seen"] == 3

    version = add_version(settings, 0)
    assert looking("seen by a model")["seen"] == 3
    gallery = annotations.looks.newest(SPEC.name)
    assert gallery.model_version == version
    assert set(gallery.looks["case0"].presence) == set(SPEC.labels.names)
    assert gallery.looks["case0"].embedding.size != plain.looks["case0"].embedding.size


def test_a_scoring_looks_as_well(job_of, annotations, settings):
    version = add_version(settings, 0)
    job_of(score)(images="all", method="margin")
    assert annotations.looks.newest(SPEC.name).model_version == version
    assert job_of(look)("after")["already_seen"] == 3


def test_an_unknown_option_is_refused():
    with pytest.raises(InvalidInputError, match="images"):
        look.check(SPEC, {"image": "all"})
