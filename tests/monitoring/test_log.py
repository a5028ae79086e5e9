"""What a line of the log is: one event, whatever a peer put into it."""

import json
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import (
    LogBeginner,
    Logger,
    LogLevel,
    LogPublisher,
    formatEvent,
    formatTime,
)
from twisted.python.failure import Failure

from homeserver.config.values import Log
from homeserver.monitoring import log as log_module
from tests.support.tables import cases

# As ISO 8601, with the offset of the place.
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["text", "json"]


def write(
    log: Log,
    say: Callable[[Logger], object],
    stream: StringIO | None = None,
    publisher: LogPublisher | None = None,
    quiet: Sequence[str] = (),
) -> str:
    """What is written of the events that `say` makes, logged as `log` says."""
    stream = stream or StringIO()
    publisher = publisher or LogPublisher()
    with pytest.MonkeyPatch.context() as patch:
        # Twisted's own beginner works once in a process, and for all of it. Even this
        # one takes the warnings of the process; the patch gives them back.
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        beginner = LogBeginner(publisher, StringIO(), sys, warnings)
        patch.setattr(log_module, "globalLogBeginner", beginner)
        log_module.begin(log, stream, quiet)
    say(Logger("place", observer=publisher))
    return stream.getvalue()


def raise_what_a_peer_said() -> None:
    """Fail with a peer's text in the exception."""
    raise ValueError("\x1b[31m\n2026-01-01T00:00:00+0000 info all is well")


def fail(logger: Logger) -> None:
    """Log an exception."""
    try:
        raise_what_a_peer_said()
    except ValueError:
        logger.failure("it broke")


def test_text() -> None:
    """A line of text has the time, the level, and what happened."""
    written = write(Log(), lambda log: log.warn("{count} of {name}", count=1, name="a"))
    assert re.fullmatch(TIME + " warn 1 of a\n", written)


def test_json() -> None:
    """A line of JSON has the same and where it comes from."""
    written = write(
        Log(format="json"), lambda log: log.warn("{count} of {name}", count=1, name="a")
    )
    assert written.count("\n") == 1
    line = json.loads(written)
    assert re.fullmatch(TIME, line.pop("time"))
    assert line == {"level": "warn", "message": "1 of a", "from": "place"}


class Name:
    """Something that is shown as its name."""

    def __str__(self) -> str:
        return "a.test"


def members(namespace: str, **parts: object) -> dict[str, object]:
    """What a line of JSON has beside what each has."""
    publisher = LogPublisher()
    logger = Logger(namespace, observer=publisher)
    written = write(
        Log(format="json"), lambda _: logger.warn("said", **parts), publisher=publisher
    )
    line: dict[str, object] = json.loads(written)
    assert (line["level"], line["message"], line["from"]) == ("warn", "said", namespace)
    assert re.fullmatch(TIME, str(line["time"]))
    return {k: v for k, v in line.items() if k not in COMMON}


COMMON = {"time", "level", "message", "from"}


def test_members() -> None:
    """What a message is made of stands beside it, as numbers where it is numbers."""
    given = {"status": 200, "seconds": 0.25, "ok": True, "error": None, "to": Name()}
    assert members("homeserver.place", **given) == given | {"to": "a.test"}


def test_members_do_not_replace_what_each_line_has() -> None:
    """A part that has the name of what each line has is left out."""
    assert members("homeserver.place", time="never", message="nothing") == {}


def test_members_that_json_lacks() -> None:
    """A part is one line and JSON, whatever a peer put into it."""
    assert members("homeserver.place", said="\ud800\n") == {"said": "\\ud800\n"}
    assert members("homeserver.place", said=float("nan")) == {"said": None}


def test_members_of_others() -> None:
    """Of what other programs log, only the message is told."""
    assert members("twisted.web", password="secret") == {}


LEVELS: list[tuple[Level, list[str]]] = [
    ("debug", ["debug", "info", "warn", "error", "critical"]),
    ("info", ["info", "warn", "error", "critical"]),
    ("warn", ["warn", "error", "critical"]),
    ("error", ["error", "critical"]),
]


@pytest.mark.parametrize(("level", "written"), LEVELS)
def test_level(level: Level, written: list[str]) -> None:
    """What is less than the configured level is not written."""

    def say(log: Logger) -> None:
        for each in LogLevel.iterconstants():
            log.emit(each, "said")

    lines = write(Log(level=level), say).splitlines()
    assert [line.split()[1] for line in lines] == written


@pytest.mark.parametrize("quiet", ["place", "elsewhere"])
def test_a_quiet_place(quiet: str) -> None:
    """Of one that is to be quiet, only what is critical is written."""

    def say(log: Logger) -> None:
        log.error("an error")
        log.critical("all is over")

    lines = write(Log(level="error"), say, quiet=[quiet]).splitlines()
    written = [line.split()[1] for line in lines]
    assert written == (["critical"] if quiet == "place" else ["error", "critical"])


class Place:
    """Something with parts."""

    name = "a.test"
    ports = (8448,)

    def describe(self) -> str:
        """What it is."""
        return "a place"


FORMATS: list[object] = [
    "said",
    "{number} of {place.name}",
    "{place.ports[0]:>6} {number!r} {text!r}",
    "{{number}} {text:.2}",
    "{place.describe()}",
    "{call()} {number}",
    "{missing} {number}",
    "{place.missing}",
    "{number:.2q}",
    "{} {0}",
    "{",
    b"{number} of {text}",
    None,
    7,
]


@pytest.mark.parametrize("form", FORMATS)
def test_message(form: object) -> None:
    """What an event says is what Twisted says that it says, mistakes included."""
    publisher = LogPublisher()
    event = {
        "log_time": 1.5,
        "log_level": LogLevel.warn,
        "log_namespace": "place",
        "log_format": form,
        "number": 1,
        "text": "abc",
        "place": Place(),
        "call": Place().describe,
    }
    written = write(Log(format="json"), lambda _: publisher(event), publisher=publisher)
    assert json.loads(written)["message"] == formatEvent(event)


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_event_has_its_time(form: Format) -> None:
    """Each line has the second of its event, also where the clock was set back."""
    publisher = LogPublisher()
    moments = [1.8e9, 1.8e9 + 0.9, 1.8e9 + 1, 1.8e9 + 86400, 1.8e9]

    def say(_: Logger) -> None:
        for moment in moments:
            publisher(
                {
                    "log_time": moment,
                    "log_level": LogLevel.warn,
                    "log_namespace": "place",
                    "log_format": "said",
                }
            )

    written = write(Log(format=form), say, publisher=publisher)
    assert re.findall(TIME, written) == [formatTime(moment) for moment in moments]


class Flushed(StringIO):
    """A stream that remembers what was flushed."""

    flushed = ""

    def flush(self) -> None:
        """Take what was written so far as written to the disk."""
        self.flushed = self.getvalue()


def test_each_event_is_written_at_once() -> None:
    """The stream is flushed after each event, so that a crash loses none."""
    stream = Flushed()
    written = write(Log(), lambda log: log.info("said"), stream)
    assert stream.flushed == written != ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_standard_streams_stay(form: Format) -> None:
    """What the process prints does not go to the log."""
    before = sys.stdout, sys.stderr
    written = write(Log(format=form), lambda _: print("printed"))  # noqa: T201
    assert written == ""
    assert (sys.stdout, sys.stderr) == before


SHOWN: list[tuple[str, str, str]] = [
    ("text", "a.example", "a.example"),
    ("umlaut", "ä", "ä"),
    ("backslash and quotes", "\\'\"", "\\'\""),
    ("line break", "a\nb", r"a\nb"),
    ("carriage return", "a\rb", r"a\rb"),
    ("terminal escape", "\x1b[31m", r"\x1b[31m"),
    ("one-byte escape", "\x9b31m", r"\x9b31m"),
    ("line separator", "a\u2028b", r"a\u2028b"),
    ("right to left", "a\u202eb", r"a\u202eb"),
    ("NUL", "\0", r"\x00"),
    ("lone surrogate", "\ud800", r"\ud800"),
]


@cases("said shown", SHOWN)
def test_escape(said: str, shown: str) -> None:
    """What a terminal would obey is shown instead."""
    written = write(Log(), lambda log: log.info("{said}", said=said))
    assert written.endswith(f" info {shown}\n")


@given(st.text(st.characters() | st.characters(categories=["Cc", "Cs", "Zl", "Zp"])))
def test_one_event_is_one_line(said: str) -> None:
    """Whatever is said, an event is one line, in both formats."""
    text = write(Log(), lambda log: log.info("{said}", said=said))
    assert len(text.splitlines()) == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    lines = write(Log(format="json"), lambda log: log.info("{said}", said=said))
    assert lines.count("\n") == 1
    message = json.loads(lines)["message"]
    assert message == said.encode("utf-8", "backslashreplace").decode("utf-8")


def test_traceback_in_text() -> None:
    """A traceback follows its event, indented, with nothing for a terminal in it."""
    written = write(Log(), fail)
    first, *others = written.removesuffix("\n").split("\n")
    assert re.fullmatch(TIME + " critical it broke", first)
    assert len(others) > 2
    assert all(line.startswith("  ") and line.isprintable() for line in others)
    assert "all is well" in written


def test_traceback_in_json() -> None:
    """A traceback is a member of its event."""
    written = write(Log(format="json"), fail)
    assert written.count("\n") == 1
    line = json.loads(written)
    assert line["message"] == "it broke"
    assert "ValueError" in line["traceback"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_event_that_cannot_be_formatted(form: Format) -> None:
    """An event with a mistake in it is one line too, which says so."""
    written = write(Log(format=form), lambda log: log.info("{missing}"))
    assert written.count("\n") == 1
    assert "missing" in written


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_failure_of_a_peer_s_text(form: Format) -> None:
    """A lone surrogate in an exception does not lose its event."""
    written = write(
        Log(format=form),
        lambda log: log.failure("it broke", Failure(ValueError("\ud800"))),
    )
    assert r"\ud800" in written
