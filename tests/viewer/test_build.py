from __future__ import annotations

import pytest

from carina.viewer.build import OhifBuild, app_config, content_policy, find_build


def test_the_installed_build_goes_before_the_one_of_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setenv("CARINA_OHIF", str(tmp_path))
    assert not find_build().extensible
    (tmp_path / "index.html").write_text("<!doctype html>")
    assert find_build().folder == tmp_path
    assert find_build().extensible


@pytest.mark.parametrize("source", ["'unsafe-inline'", "http:", "https:", "*"])
def test_scripts_from_elsewhere_and_inline_ones_stay_forbidden(source):
    policy = dict(part.split(" ", 1) for part in content_policy(find_build()).split("; "))
    assert source not in policy["script-src"].split()
    assert source not in policy["default-src"].split()


def test_the_wheels_own_panel_is_told_where_this_server_is_and_ours_needs_no_cookie(tmp_path):
    assert "MONAILABEL_SERVER_URL" in app_config(OhifBuild(folder=tmp_path, extensible=False))
    assert "cookie" not in app_config(OhifBuild(folder=tmp_path, extensible=True))
