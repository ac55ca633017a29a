"""`carina up` says where to click, and how to log in where there is a login."""

from __future__ import annotations

import pytest

from carina.cli.output import Output
from carina.cli.serving import show_where_to_click
from carina.server.run import ServerAddress
from carina.settings import Settings


@pytest.mark.parametrize(
    ("user", "password", "said"),
    [
        (None, None, "(no login)"),
        ("reader", "theirs", "(user reader, password as configured)"),
        ("carina", "ours", "(user carina, password in {own})"),
    ],
)
def test_the_login_shown_is_that_of_the_pacs_in_use(carina_home, capsys, user, password, said):
    settings = Settings()
    settings.orthanc_dir.mkdir(parents=True)
    own = settings.orthanc_dir / "password"
    own.write_text("ours")
    address = ServerAddress(
        url="http://127.0.0.1:8000", pid=1, store="orthanc+http://pacs:8042", pacs_url="http://pacs:8042",
        pacs_user=user, pacs_password=password,
    )  # fmt: skip

    show_where_to_click(Output(as_json=False), settings, address)

    shown = capsys.readouterr().out
    assert f"http://pacs:8042/app/explorer.html  {said.format(own=own)}" in shown
    assert "theirs" not in shown


def test_a_home_that_cannot_be_made_is_said_in_words(carina, tmp_path):
    (tmp_path / "file").write_text("")

    ran = carina("up", "--home", tmp_path / "file" / "home", "--port", 0, "--json")

    assert ran.exit_code == 1
    assert str(tmp_path / "file" / "home") in ran.json["detail"]
