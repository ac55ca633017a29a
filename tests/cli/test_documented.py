"""Every command that the README, the documentation or a `--help` shows is one that carina takes."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from carina.cli import app
from carina.cli.app import _COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def lines_in(text: str) -> Iterator[str]:
    """Commands in blocks of shell."""
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\.venv/bin/)?carina (.*)", line)
            if found:
                yield re.split(r"\s+#", found[1])[0]


def words_in(text: str) -> Iterator[str]:
    """Commands between backticks, which need not be whole."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (found.replace("\n", " ") for found in re.findall(r"`carina ([^`]+)`", prose))


def examples() -> Iterator[str]:
    for place in _COMMANDS.values():
        module, _, attribute = place.partition(":")
        found = getattr(import_module(f"carina.cli.{module}"), attribute)
        own = [info.callback for info in found.registered_commands] if isinstance(found, typer.Typer) else [found]
        for callback in own:
            yield from re.findall(
                r"\[bold\]carina ([^\[]+)\[/\]", (inspect.getdoc(callback) or "").partition("Example")[2]
            )


def find(text: str) -> tuple[Any, list[str]]:
    """The command, and what follows it; optional parts, in brackets, are taken for given."""
    arguments = shlex.split(text.replace("[", " ").replace("]", " "))
    command: Any = get_command(app)
    while arguments and not arguments[0].startswith("-") and hasattr(command, "get_command"):
        name = arguments.pop(0)
        command = command.get_command(None, name)
        assert command is not None, f"carina {text}: there is no '{name}'"
    return command, arguments


def parse(text: str) -> None:
    """Read a command line as carina does, without running it; where it has an ellipsis, its options only."""
    command, arguments = find(text)
    if "…" not in text:
        command.make_context(command.name, arguments)
    check_options(text)


def check_options(text: str) -> None:
    command, arguments = find(text)
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    unknown = [name for name in arguments if re.match(r"--?[a-z]", name) and name not in known]
    assert not unknown, f"carina {text}: there is no {unknown[0]}"


@pytest.mark.parametrize(
    ("where", "text"),
    [(page.name, text) for page in PAGES for text in lines_in(page.read_text(encoding="utf-8"))]
    + [("--help", text) for text in examples()],
)
def test_a_command_that_is_shown_is_one_that_carina_takes(where, text):
    parse(text)


@pytest.mark.parametrize(
    ("where", "text"), [(page.name, text) for page in PAGES for text in words_in(page.read_text(encoding="utf-8"))]
)
def test_a_command_that_is_spoken_of_has_these_options(where, text):
    check_options(text.replace("COMMAND", ""))


def test_a_command_that_carina_does_not_take_would_be_noticed():
    with pytest.raises(AssertionError, match="there is no 'nope'"):
        check_options("nope")
    with pytest.raises(AssertionError, match="there is no --nope"):
        check_options("train --nope")
    with pytest.raises(Exception, match="labels"):
        parse("train thorax_ct --images a")
