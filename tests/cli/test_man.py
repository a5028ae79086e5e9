"""The manual page."""

import re
import shutil
import subprocess

import click
import pytest
from click.testing import CliRunner

from homeserver.cli.main import main

PAGE = CliRunner().invoke(main, ["man"], prog_name="homeserver").output


def commands(group: click.Group, path: str) -> list[tuple[str, click.Command]]:
    """All commands below a group, with their names."""
    found: list[tuple[str, click.Command]] = []
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((f"{path} {name}", command))
        if isinstance(command, click.Group):
            found += commands(command, f"{path} {name}")
    return found


@pytest.mark.parametrize(
    ("path", "command"),
    commands(main, "homeserver"),
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_each_command_is_in_it(path: str, command: click.Command) -> None:
    """A command has a heading, and each of its options an entry."""
    heading = f'.SS "{path.replace("-", chr(92) + "-")} '
    assert heading in PAGE or heading.rstrip() + '"' in PAGE
    section = PAGE.partition(heading)[2].partition("\n.SS ")[0]
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            [name, *_] = [each for each in parameter.opts if each.startswith("--")]
            assert name.replace("-", r"\-") in section


def test_no_text_is_a_request() -> None:
    """Each line that begins with a full stop is a request of man(7)."""
    requests = {line.split()[0] for line in PAGE.splitlines() if line[:1] in {".", "'"}}
    known = {".TH", ".SH", ".SS", ".TP", ".B", ".I", ".RI", ".PP", ".nf", ".fi"}
    assert requests <= known
    assert not re.search(r"\\(?![-e&]|\(dq)", PAGE)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_man_reads_it() -> None:
    """man(1) shows it without a warning."""
    done = subprocess.run(
        ["man", "--warnings=all", "-l", "-"],
        input=PAGE,
        capture_output=True,
        text=True,
        check=False,
        env={"MANWIDTH": "80", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert "homeserver lab [OPTIONS]" in done.stdout
