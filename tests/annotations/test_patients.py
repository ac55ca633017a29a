"""Pseudonyms are stable, differ between installations, and cannot silently change."""

from __future__ import annotations

import stat

import pytest

from carina.annotations.patients import PatientKeys
from carina.annotations.store import open_annotations
from carina.errors import ConfigurationError
from carina.settings import Settings


def test_one_patient_has_one_key_whatever_the_image(store):
    keys = store.patients
    assert keys.key("P1", image_id="a") == keys.key(" P1 ", image_id="b") != keys.key("P2", image_id="a")


def test_an_image_of_an_unknown_patient_is_a_patient_of_its_own(store):
    keys = store.patients
    unknown = {keys.key(None, image_id="a"), keys.key(None, image_id="b"), keys.key("a", image_id="a")}
    assert len(unknown) == 3
    assert keys.key("", image_id="a") == keys.key(None, image_id="a")


def test_the_patient_id_is_nowhere_on_disk(settings, store, submit):
    submit(patient_id="HOSPITAL-4711")
    store.close()
    for path in settings.home.rglob("*"):
        if path.is_file():
            assert b"4711" not in path.read_bytes(), path.name


def test_keys_stay_the_same_after_a_restart(settings, store):
    again = open_annotations(settings)
    assert again.patients.key("P1", image_id="") == store.patients.key("P1", image_id="")
    again.close()


def test_two_installations_have_different_keys(tmp_path, store):
    other = open_annotations(Settings(home=tmp_path / "other"))
    assert other.patients.key("P1", image_id="") != store.patients.key("P1", image_id="")
    other.close()


def test_the_secret_is_for_its_owner_only(settings, store):
    assert stat.S_IMODE((settings.home / "patient.key").stat().st_mode) == 0o600


def test_a_lost_secret_is_not_replaced_by_a_new_one(settings, store):
    (settings.home / "patient.key").unlink()
    with pytest.raises(ConfigurationError, match="backup"):
        open_annotations(settings)
    assert not (settings.home / "patient.key").exists()


def test_another_secret_is_refused(settings, store):
    (settings.home / "patient.key").write_bytes(bytes(32))
    with pytest.raises(ConfigurationError, match="another"):
        open_annotations(settings)


def test_a_short_secret_is_refused():
    with pytest.raises(ConfigurationError, match="32 bytes"):
        PatientKeys(b"short")
