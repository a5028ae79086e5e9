"""What the commands say of themselves, to a person and to a shell."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from homeserver import __version__
from homeserver.cli.main import main
from scripts.processes import PROGRAM, homeserver
from tests.support.commands import failed
from tests.support.commands import run as run_command
from tests.support.tables import cases

COMMANDS = ["init", "run", "send", "received", "refused", "peers", "report"]
COMMANDS += ["health", "resolve", "keys", "explain", "conform", "lab"]
COMMANDS += ["servers", "exchanges", "fault", "room", "man", "config"]


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command that ends well prints."""
    runner = CliRunner(env=environment)
    result = runner.invoke(main, arguments, prog_name="homeserver")
    assert result.exit_code == 0, result.output
    return result.output


def test_list_of_commands() -> None:
    """Commands stand in the order of use, each with a line that is whole."""
    *_, listed = run("--help").partition("Commands:\n")
    lines = listed.splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert all(line.endswith(".") and not line.endswith("..") for line in lines)


def command_of(name: str) -> click.Command:
    """The command of a name."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    return command


def options() -> Iterator[tuple[str, click.Option]]:
    """Each option of each command."""
    for name in COMMANDS:
        for parameter in command_of(name).params:
            if isinstance(parameter, click.Option):
                yield name, parameter


def commands() -> Iterator[list[str]]:
    """The words of each command, and of those below it."""
    yield []
    for name in COMMANDS:
        yield [name]
        command = command_of(name)
        if isinstance(command, click.Group):
            yield from ([name, below] for below in command.commands)


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_help_has_an_example(command: list[str], option: str) -> None:
    """Each help text has an example of its command, on lines of its own."""
    *_, example = run(*command, option).partition("\n  Example:\n")
    assert example.startswith("    homeserver " + " ".join(command))


@pytest.mark.parametrize(
    ("command", "option"), list(options()), ids=lambda value: getattr(value, "name", "")
)
def test_each_option_is_explained(command: str, option: click.Option) -> None:
    """Each option says what it is for, and in what form it takes its value."""
    assert option.help
    record = option.get_help_record(click.Context(command_of(command)))
    assert record is not None
    assert "TEXT" not in record[0]
    assert "FLOAT" not in record[0]


def test_version() -> None:
    """`--version` says which one this is."""
    assert run("--version") == f"homeserver, version {__version__}\n"


def test_sample() -> None:
    """`config` prints the sample that lies beside the program."""
    sample = Path(__file__).parent.parent.parent / "conf" / "homeserver.toml"
    assert run("config") == sample.read_text("utf-8")


COMPLETIONS: list[tuple[str, list[str]]] = [
    ("homeserver re", ["received", "refused", "report", "resolve"]),
    ("homeserver send --", ["config", "edu", "help", "json", "pdu", "room-version"]),
    ("homeserver init --server-name no,name --c", ["control"]),
]


def completed(line: str) -> list[str]:
    """What the words of `line` may go on as."""
    words = line.split()
    environment = {
        "_HOMESERVER_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return run(environment=environment).splitlines()


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
def test_completion(line: str, expected: list[str]) -> None:
    """Commands and options are completed, also after a value that is none yet."""
    found = [each.removeprefix("plain,").lstrip("-") for each in completed(line)]
    assert [each for each in sorted(found) if each in expected] == expected
    assert all(each.startswith("plain,") for each in completed(line))


FILES: list[tuple[str, str]] = [
    ("homeserver run -c home", "file,home"),
    ("homeserver send alpha.test --transaction tr", "file,tr"),
    ("homeserver init --server-name alpha.test /var", "dir,/var"),
]


@pytest.mark.parametrize(("line", "expected"), FILES)
def test_completion_of_paths(line: str, expected: str) -> None:
    """The shell completes paths itself, and is told whether of files or folders."""
    assert completed(line) == [expected]


def test_completion_in_bash() -> None:
    """Bash, told by the line of the README, completes what a person has begun."""
    script = f"""
        PATH={PROGRAM.parent}:$PATH
        eval "$(_HOMESERVER_COMPLETE=bash_source homeserver)"
        COMP_WORDS=(homeserver re) COMP_CWORD=1
        _homeserver_completion homeserver
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["received", "refused", "report", "resolve"]
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    """There is a script for each shell that the README names."""
    script = run(environment={"_HOMESERVER_COMPLETE": f"{shell}_source"})
    assert f"_HOMESERVER_COMPLETE={shell}_complete" in script


MISTYPED = [("sned", "send"), ("recieved", "received"), ("healthy", "health")]
MISTYPED += [("Send", "send"), ("peer", "peers"), ("frobnicate", "")]


@pytest.mark.parametrize(("word", "meant"), MISTYPED)
def test_mistyped_command(word: str, meant: str) -> None:
    """A command that does not exist is one line, with the one that may be meant."""
    result = CliRunner().invoke(main, [word, "-c", "x"], prog_name="homeserver")
    assert (result.exit_code, result.stdout) == (2, "")
    end = f"; did you mean {meant!r}?" if meant else "; see homeserver --help"
    assert result.stderr == f"no command is called {word!r}{end}\n"


def test_a_bad_name_is_one_line() -> None:
    """A value that is not good is told in one line, with exit status 2."""
    done = homeserver("resolve", "no,name")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


NEW = ["init", "--server-name", "alpha.test"]

WRONG_VALUES: list[tuple[str, list[str], str]] = [
    ("host", [*NEW, "--control-host", "a:1"], "'a:1' is no host name without a port"),
    (
        "address",
        [*NEW, "--listen", "a.test:1"],
        "--listen: 'a.test' is not an IP address",
    ),
    ("range", [*NEW, "--allow", "10.0.0.1/8"], "10.0.0.1/8"),
]


@cases("arguments said", WRONG_VALUES)
def test_wrong_value(arguments: list[str], said: str, tmp_path: Path) -> None:
    """A value that is wrong ends the command with 2, and makes no file."""
    folder = tmp_path / "new"
    command = [*arguments, str(folder)]
    result = CliRunner().invoke(main, command, prog_name="homeserver")
    assert result.exit_code == 2
    assert said in result.output
    assert not folder.exists()


MISUSED = [
    (["--frob"], "no such option '--frob'; see homeserver --help"),
    (["init"], "missing argument 'DIR'; see homeserver init --help"),
    (
        ["config", "x"],
        "got unexpected extra argument (x); see homeserver config --help",
    ),
    (
        ["room", "graph", "--format", "x", "R"],
        (
            "invalid value for '--format': 'x' is not one of 'dot', 'svg'; "
            "see homeserver room graph --help"
        ),
    ),
    (["fault", "add"], "missing argument 'FAULT'; see homeserver fault add --help"),
    (["room", "x"], "no command is called 'x'; see homeserver room --help"),
    (["room", "jion"], "no command is called 'jion'; did you mean 'join'?"),
    (["fault", "ad"], "no command is called 'ad'; did you mean 'add'?"),
    (
        ["conform", "x", "--only"],
        "option '--only' requires an argument; see homeserver conform --help",
    ),
    (
        ["room", "graph", "R", "--format"],
        "option '--format' requires an argument; see homeserver room graph --help",
    ),
    (["lab", "--seeed"], "no such option '--seeed'; did you mean '--seed'?"),
    (
        ["lab", "--jsn"],
        "no such option '--jsn'; did you mean '--dns', '--json', '--listen'?",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), MISUSED)
def test_misuse_is_one_line(arguments: list[str], said: str) -> None:
    """It says what is wrong, and where to read on."""
    assert failed(run_command(*arguments)) == (2, f"{said}\n")


@pytest.mark.parametrize("group", [[], ["room"], ["fault"]])
def test_a_group_alone_shows_its_commands(group: list[str]) -> None:
    """No mistake is told then, but what there is."""
    done = run_command(*group)
    assert done.exit_code == 2
    assert "\nCommands:\n" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("command", ["config", "--version"])
def test_output_that_cannot_be_written(command: str, buffered: str) -> None:
    """A full disk is told in a line, whether it is met at once or at the end."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
        )
    said = "standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_output_that_is_read_in_part() -> None:
    """Whoever has read enough sees no error."""
    with subprocess.Popen(
        [PROGRAM, "config"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
