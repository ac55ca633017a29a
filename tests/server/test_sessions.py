from __future__ import annotations

import json
import time

import pytest

from carina.errors import NotFoundError, UnsafeIdError
from carina.server.sessions import Sessions


@pytest.fixture
def sessions(tmp_path) -> Sessions:
    return Sessions(tmp_path / "sessions")


def fill(folder) -> str:
    (folder / "image.nii.gz").write_bytes(b"voxels")
    return "image.nii.gz"


def test_a_session_is_kept_and_found_again_by_another_server(sessions, tmp_path):
    made = sessions.add(fill)
    found = Sessions(tmp_path / "sessions").get(made.session_id)
    assert found == made
    assert found.path.read_bytes() == b"voxels"


def test_nothing_stays_when_the_image_is_refused(sessions, tmp_path):
    def refuse(folder):
        (folder / "half").write_bytes(b"x")
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        sessions.add(refuse)
    assert list((tmp_path / "sessions").iterdir()) == []


def test_a_removed_session_is_gone_with_its_files(sessions):
    made = sessions.add(fill)
    sessions.remove(made.session_id)
    assert not made.folder.exists()
    with pytest.raises(NotFoundError):
        sessions.get(made.session_id)


def test_an_expired_session_is_gone_and_swept(sessions):
    made = sessions.add(fill, expiry_s=60)
    path = made.folder / "session.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "last_access": time.time() - 61}))
    with pytest.raises(NotFoundError):
        sessions.get(made.session_id)
    assert sessions.remove_expired() == 1
    assert not made.folder.exists()


def test_access_starts_the_time_anew(sessions):
    made = sessions.add(fill)
    assert sessions.get(made.session_id, touch=True).last_access > made.last_access


def test_the_description_tells_no_place_on_the_server(sessions, tmp_path):
    assert str(tmp_path) not in json.dumps(sessions.add(fill).describe())


@pytest.mark.parametrize("session_id", ["..", "a/../b", "", ".hidden", "x" * 200])
def test_an_id_that_could_leave_the_folder_is_refused(sessions, session_id):
    with pytest.raises(UnsafeIdError):
        sessions.get(session_id)


def test_a_session_that_another_request_has_just_finished_is_passed_over(sessions, tmp_path):
    made = sessions.add(fill)
    (tmp_path / "sessions" / ".renamed-since").symlink_to("nowhere")  # listed, and gone when it is looked at
    assert sessions.remove_expired() == 0
    assert sessions.get(made.session_id) == made
