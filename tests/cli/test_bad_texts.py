"""Arguments that are no text in UTF-8, and numbers that are none, are told in words."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from homeserver.cli.main import main
from tests.support.commands import failed, run
from tests.support.tables import cases

# As Python has a byte of the command line that is no text.
BAD = "x\udcffy"


def parameters() -> Iterator[tuple[str, list[str]]]:
    """Each option and argument that takes a text, with the words that it gets."""
    context = click.Context(main)
    found = [
        ([name], main.get_command(context, name))
        for name in main.list_commands(context)
    ]
    for names, command in found:
        if isinstance(command, click.Group):
            found += [
                ([*names, name], command.get_command(context, name))
                for name in command.list_commands(context)
            ]
            continue
        assert command is not None
        for each in command.params:
            if isinstance(each.type, click.types.StringParamType):
                option = [] if isinstance(each, click.Argument) else [each.opts[0]]
                shown = f"{' '.join(names)} {each.name}"
                yield shown, [*names, *option, *[BAD] * max(1, each.nargs)]


@cases("words", parameters())
def test_no_text(words: list[str]) -> None:
    """It is refused before anything is done, in one line with the bytes."""
    status, said = failed(run(*words))
    assert (status, said.count("\n")) == (2, 1)
    assert "'x\\xffy' is not text in UTF-8; see homeserver " in said


def test_there_are_many() -> None:
    """Each command with a text is in the table."""
    names = {shown.partition(" ")[0] for shown, _ in parameters()}
    assert names >= {"init", "send", "peers", "conform", "lab", "exchanges", "room"}


NUMBERS = [
    ("whole", ["conform", "--jobs", "x"], "'--jobs': 'x' is not a whole number;"),
    ("number", ["conform", "--timeout", "x"], "'--timeout': 'x' is not a number;"),
    ("range", ["run", "--workers", "65"], "'--workers': 65 is not from 1 to 64;"),
    ("least", ["fault", "remove", "0"], "0 is not 1 or more;"),
    ("float range", ["conform", "--timeout", "0"], "is not from 0.1 to 3600;"),
]


@cases("words said", NUMBERS)
def test_numbers(words: list[str], said: str) -> None:
    """What a number has to be is told without the words of the library."""
    status, line = failed(run(*words))
    assert status == 2
    assert said in line


@pytest.mark.parametrize("words", [["explain", BAD], ["received", "-c", BAD]])
def test_names_of_files(words: list[str]) -> None:
    """They may be any bytes: what is told is that there is no such file."""
    status, said = failed(run(*words))
    assert status == 2
    assert "No such file or directory" in said


NO_NAMES = [
    ("folder", ["init", "--server-name", "a.test", ""], "'DIR': the name is empty;"),
    ("configuration", ["received", "-c", ""], "'--config': the name is empty;"),
    ("output", ["conform", "b.test", "--output", ""], "'--output': the name is empty;"),
    ("data", ["lab", "--data", ""], "'--data': the name is empty;"),
    ("file", ["explain", ""], "'FILE': the name is empty;"),
    ("room", ["room", "join", ""], "'ROOM': it is empty;"),
]


@cases("words said", NO_NAMES)
def test_empty_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], said: str
) -> None:
    """An empty name is not that of the current folder."""
    monkeypatch.chdir(tmp_path)
    status, line = failed(run(*words))
    assert status == 2
    assert said in line
    assert list(tmp_path.iterdir()) == []
