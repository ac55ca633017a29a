from __future__ import annotations

import numpy as np
import pytest

from carina.annotations.database import Database
from carina.annotations.looks import KeptLook, LookTable
from carina.annotations.notes import merge_notes
from carina.annotations.tables import ImageInfoRow
from carina.errors import UnsafeIdError


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def looks(database) -> LookTable:
    return LookTable(database)


def look(value: float) -> KeptLook:
    return KeptLook(embedding=np.array([value, -value], np.float32), presence={"heart": value})


def test_a_look_comes_back_as_it_was_kept(looks):
    looks.put("a", look(0.5), task="t", model_version="v1")
    gallery = looks.newest("t")
    assert (gallery.task, gallery.model_version, list(gallery.looks)) == ("t", "v1", ["a"])
    np.testing.assert_array_equal(gallery.looks["a"].embedding, np.array([0.5, -0.5], np.float32))
    assert gallery.looks["a"].presence == {"heart": 0.5}


def test_looks_of_two_versions_are_never_handed_out_together(looks):
    for image_id in ("a", "b"):
        looks.put(image_id, look(0.1), task="t", model_version="v1")
    looks.put("b", look(0.2), task="t", model_version="v2")
    gallery = looks.newest("t")
    assert (gallery.model_version, list(gallery.looks)) == ("v2", ["b"])
    assert [looks.version(image_id, task="t") for image_id in ("a", "b", "c")] == ["v1", "v2", None]


def test_without_a_task_the_one_looked_at_last_counts(looks):
    assert looks.newest() is None
    looks.put("a", look(0.1), task="t", model_version="v1")
    looks.put("a", look(0.1), task="other", model_version="")
    assert looks.newest().task == "other"
    assert looks.newest("t").task == "t"


def test_scores_are_those_of_one_version(looks, database):
    with database.writing() as session:
        merge_notes(session, ImageInfoRow, "a", {"score:t:m": {"value": 0.25, "version": "v1", "at": 0.0}})
        merge_notes(session, ImageInfoRow, "b", {"score:t:m": {"value": 0.75, "version": "v2", "at": 0.0}})
        merge_notes(session, ImageInfoRow, "c", {"another": 1})
    assert looks.scores("score:t:m", model_version="v2") == {"b": 0.75}


def test_a_score_that_came_or_changed_since_is_seen(looks, database):
    for image_id, value, version in (("a", 0.25, "v1"), ("b", 0.5, "v1"), ("a", 0.75, "v1"), ("b", 0.5, "v2")):
        with database.writing() as session:
            merge_notes(session, ImageInfoRow, image_id, {"score:t:m": {"value": value, "version": version, "at": 0.0}})
        looks.scores("score:t:m", model_version="v1")
    assert looks.scores("score:t:m", model_version="v1") == {"a": 0.75}
    assert looks.scores("score:t:m", model_version="v2") == {"b": 0.5}


def test_a_look_that_another_process_kept_is_seen(looks, database):
    looks.put("a", look(0.1), task="t", model_version="v1")
    looks.newest("t")
    LookTable(database).put("a", look(0.3), task="t", model_version="v1")
    LookTable(database).put("b", look(0.2), task="t", model_version="v1")
    assert {name: seen.presence["heart"] for name, seen in looks.newest("t").looks.items()} == {"a": 0.3, "b": 0.2}
    LookTable(database).put("a", look(0.4), task="t", model_version="v2")
    assert list(looks.newest("t").looks) == ["a"]


def test_an_unsafe_id_is_refused(looks):
    with pytest.raises(UnsafeIdError):
        looks.put("../a", look(0.1), task="t", model_version="v1")
