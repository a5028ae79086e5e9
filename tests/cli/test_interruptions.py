"""A command that is interrupted ends at once, without a word, and leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import configured
from tests.support.tables import cases

# Sends itself a signal at a call of a function that is as late as it is told.
MOMENT = """
import os, signal, sys
left = int(sys.argv.pop(1))
number = int(sys.argv.pop(1))
def count(frame, event, argument):
    global left
    left -= event == "call"
    if left < 0:
        sys.setprofile(None)
        os.kill(os.getpid(), number)
from homeserver.__main__ import main
sys.setprofile(count)
main()
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The control API of a daemon that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield "http://{}:{}".format(*listener.getsockname())


COMMANDS = [
    ("init", ["init", "--server-name", "a.test", "{0}/a"]),
    ("run", ["run", "-c", "{0}/a/homeserver.toml", "--server-name", "127.0.0.1:1"]),
    ("peers", ["peers", "--lab", "{1}"]),
    ("resolve", ["resolve", "--lab", "{1}", "b.test"]),
    ("explain", ["explain", __file__]),
    ("conform", ["conform", "127.0.0.1:1", "--only", "K"]),
    ("lab", ["lab"]),
    ("man", ["man"]),
]

# From the first import on, after what an interruption does is set.
MOMENTS = (100, 500, 2_000, 5_000, 10_000, 20_000, 30_000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@cases("words", COMMANDS)
def test_moments(
    tmp_path: Path, url: str, words: list[str], number: signal.Signals
) -> None:
    """It ends by the signal; whatever it was about to write is whole or not there."""
    files = tmp_path / "files"
    files.mkdir()
    variables = os.environ | {
        "TMPDIR": str(files),
        "HOMESERVER_LAB_TOKEN": "token",
    }
    statuses = set()
    for moment in MOMENTS:
        told = [each.format(tmp_path / str(moment), url) for each in words]
        done = subprocess.run(
            [sys.executable, "-c", MOMENT, str(moment), str(number.value), *told],
            check=False,
            capture_output=True,
            text=True,
            env=variables,
            timeout=300,
        )
        statuses.add(done.returncode)
        if done.returncode == -number:
            assert done.stderr == ""
        assert "Traceback" not in done.stderr
        assert "Aborted" not in done.stderr
        assert list(files.iterdir()) == []
        made = tmp_path / str(moment) / "a"
        assert not made.exists() or len(list(made.iterdir())) in {0, 5}
    assert -number in statuses


PART = """
import os, signal, sys, time
from homeserver.net.interruptions import *
signal.signal(signal.SIGINT, signal.default_int_handler)
me, INT, TERM = os.getpid(), signal.SIGINT, signal.SIGTERM
{}
print("after", flush=True)
"""

# (name, a program, its exit status, standard output, standard error)
PARTS: list[tuple[str, str, int, str, str]] = [
    ("at once", "end_at_once(); os.kill(me, INT)", -2, "", ""),
    (
        "ignored",
        "signal.signal(INT, signal.SIG_IGN); end_at_once(); os.kill(me, INT)",
        0,
        "after\n",
        "",
    ),
    (
        "postponed",
        "end_at_once()\nwith postponed():\n    os.kill(me, INT); print(1, flush=True)",
        -2,
        "1\n",
        "",
    ),
    (
        "undone",
        "undo_at_end(lambda: print('undone', flush=True)); os.kill(me, TERM)",
        -15,
        "undone\n",
        "",
    ),
    (
        "ending",
        "with ending(130, lambda: 'why'):\n    os.kill(me, INT); time.sleep(60)",
        130,
        "",
        "why\n",
    ),
    (
        "silent ending",
        "with ending(0):\n    os.kill(me, INT); time.sleep(60)",
        0,
        "",
        "",
    ),
    (
        "ending, ignored",
        "signal.signal(INT, signal.SIG_IGN)\nwith ending(1):\n    os.kill(me, INT)",
        0,
        "after\n",
        "",
    ),
]


@cases("program status output errors", PARTS)
def test_parts(program: str, status: int, output: str, errors: str) -> None:
    """Each part decides how the process ends."""
    done = subprocess.run(
        [sys.executable, "-c", PART.format(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, output, errors)


def ended(
    program: str, *words: object, files: Path
) -> subprocess.CompletedProcess[str]:
    """How a command ended in a process that ran a program first."""
    start = "\nfrom homeserver.__main__ import main\nmain()"
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os, signal\n{program}{start}",
            *map(str, words),
        ],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(files)},
        timeout=300,
    )


def test_files_of_an_endpoint(tmp_path: Path) -> None:
    """The files of a new endpoint are all written, wherever the signal comes."""
    program = """
from homeserver.identity import new_endpoint
write = new_endpoint.write_new
def write_and_interrupt(*arguments):
    write(*arguments)
    os.kill(os.getpid(), signal.SIGINT)
new_endpoint.write_new = write_and_interrupt
"""
    words = ["init", "--server-name", "a.test", tmp_path / "a"]
    assert ended(program, *words, files=tmp_path).returncode == -signal.SIGINT
    assert len(list((tmp_path / "a").iterdir())) == 5


FOLDERS = [
    ("lab", ["lab"]),
    ("conform", ["conform", "127.0.0.1:1"]),
]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@cases("words", FOLDERS)
def test_temporary_folders(tmp_path: Path, words: list[str], number: str) -> None:
    """A temporary folder is removed where a signal comes as soon as it is there."""
    program = f"""
from homeserver.lab import folder
make = folder.mkdtemp
def make_and_interrupt(**options):
    os.kill(os.getpid(), signal.{number})
    return make(**options)
folder.mkdtemp = make_and_interrupt
"""
    assert ended(program, *words, files=tmp_path).returncode == -signal.Signals[number]
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_before_the_reactor(tmp_path: Path) -> None:
    """Where Twisted's own handlers end a run of checks, it was interrupted."""
    program = """
from twisted.internet import reactor
reactor.callWhenRunning(lambda: reactor.stop())

reactor.callWhenRunning = lambda *_: None
"""
    done = ended(program, "conform", "127.0.0.1:1", files=tmp_path)
    assert (done.returncode, done.stderr) == (
        130,
        "127.0.0.1:1: the run was interrupted\n",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["resolve", "keys"])
def test_a_look_up(tmp_path: Path, command: str, number: signal.Signals) -> None:
    """A look-up without a daemon ends while it waits for a name server."""
    path = configured(tmp_path, "127.0.0.1:1")
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(300)
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        path.write_text(f'{path.read_text()}\n[dns]\nservers = ["{where}"]\n')
        with subprocess.Popen(
            [sys.executable, "-m", "homeserver", command, "-c", str(path), "b.test"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert silent.recv(512)
            process.send_signal(number)
            output, errors = process.communicate(timeout=300)
    assert (process.returncode, output) == (-number, "")
    [note] = errors.splitlines()
    assert note.startswith("asked without a daemon: ")
