"""How commands speak of what is not there, of names with brackets, and of what the system refuses."""

from __future__ import annotations

import errno
import os

import pytest
import typer

from carina.cli.output import Output, command


def test_a_table_without_rows_is_a_sentence(capsys):
    Output(as_json=False).table("Jobs of [nobody]", ["Id"], [])

    assert capsys.readouterr().out == "Jobs of [nobody]: none.\n"


def test_brackets_in_titles_and_cells_are_shown(capsys):
    Output(as_json=False).table("Draft of [bold]", ["Id"], [["[/]"]])

    shown = capsys.readouterr().out
    assert "Draft of [bold]" in shown
    assert "[/]" in shown


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/x"), "'/data/x' must be readable or writable"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "The disk must have room, and is full"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x"), "The disk must have room, and is full"),
    ],
)
def test_what_the_system_refuses_is_said_in_one_line(capsys, error, said):
    with pytest.raises(typer.Exit) as end, command(as_json=True):
        raise error

    out, err = capsys.readouterr()
    assert end.value.exit_code == 1
    assert said in err
    assert '"error": "StorageError"' in out


def test_an_error_that_is_about_no_file_is_not_swallowed():
    with pytest.raises(ConnectionResetError), command(as_json=False):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
