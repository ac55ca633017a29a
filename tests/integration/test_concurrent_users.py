"""Ten users at once on one live server: no version is lost and nothing fails, on SQLite and on PostgreSQL."""

from __future__ import annotations

import numpy as np
import pytest

from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series
from carina.server.running import RunningServer
from carina.settings import Settings

from .concurrent_users import Report, Users

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GRID = Grid((16, 14, 6), np.diag([-1.1, -0.9, 2.5, 1.0]))
CASES, USERS, SECONDS = 24, 10, 5.0


@pytest.fixture
def worked(tmp_path, database_url) -> tuple[Report, list[str]]:
    """What ten users saw, and what the server has afterwards."""
    for number in range(CASES):
        array = np.random.default_rng(number).integers(-900, 900, GRID.shape).astype(np.int16)
        write_series(
            Volume(array, GRID), tmp_path / "pacs" / f"case-{number:02d}", patient_id=f"P{number}", seed=number
        )
    images = {f"case-{number:02d}": GRID for number in range(CASES)}
    environment = {"CARINA_DATABASE_URL": database_url}
    settings = Settings(home=tmp_path / "home", port=0)
    with RunningServer(settings, store_url=str(tmp_path / "pacs"), environment=environment) as server:
        users = Users(server.url, images, think_s=0.2)
        return users.work(users=USERS, seconds=SECONDS), users.stored()


def test_what_was_acknowledged_is_stored_once_nothing_fails_and_no_case_is_handed_to_two(worked):
    report, stored = worked
    assert report.failures == []
    assert report.statuses.keys() == {200}
    assert len(report.acknowledged) > USERS
    assert sorted(stored) == sorted(report.acknowledged)
    assert report.taken > 0
    assert report.handed_twice == []
