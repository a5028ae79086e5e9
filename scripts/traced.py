"""A command of `homeserver`, and which rooms of a journey it enters, in order.

Rules: a room is a module that `docs/architecture.md` lists in a journey. It is entered
when one of its functions is called from outside of it; a coroutine that goes on is not
called, and making a part is no visit. Visits of one room without another one between
them are one visit. A journey begins with a signal, and ends with the first call of the
function that the document names.

Standard output is the command's. The rooms are written to a file as soon as the journey
has ended.
"""

import json
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

from homeserver.cli.main import main as command

_TOP = Path(__file__).parent.parent
_PACKAGE = str(_TOP / "homeserver") + "/"

_ROOM = re.compile(r"^\d+\. `([a-z_/]+)`")
_END = re.compile(r"^It ends in `([a-z_/]+)\.([a-z_]+)`")

INBOUND = "A transaction comes in"
OUTBOUND = "A transaction goes out"


@dataclass
class Journey:
    """A journey as the document has it."""

    rooms: list[str]
    """In order, as in `http/router`."""

    end: tuple[str, str]
    """The module and the function that end it."""


def journeys(text: str) -> Mapping[str, Journey]:
    """The journeys in the text of the document, by heading."""
    found: dict[str, Journey] = {}
    for section in text.split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        lines = body.splitlines()
        rooms = [room[1] for line in lines if (room := _ROOM.match(line))]
        ends = [(end[1], end[2]) for line in lines if (end := _END.match(line))]
        if rooms and ends:
            found[heading] = Journey(rooms, ends[0])
    return found


def documented() -> Mapping[str, Journey]:
    """The journeys of `docs/architecture.md`."""
    return journeys((_TOP / "docs" / "architecture.md").read_text("utf-8"))


class Tracer:
    """Follows one journey through the calls of this thread."""

    def __init__(self, journey: Journey, ended: Callable[[list[str]], object]) -> None:
        """`ended` is called once, with the rooms in the order of their visits."""
        self._rooms = frozenset(journey.rooms)
        self._end = journey.end
        self._ended = ended
        self._modules: dict[CodeType, str] = {}
        self._known: set[FrameType] = set()
        self.entered: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """As `sys.setprofile` calls it."""
        if event != "call" or frame.f_code.co_name == "__init__":
            return
        module = self._module(frame.f_code)
        if self.entered and (module, frame.f_code.co_name) == self._end:
            sys.setprofile(None)
            self._ended(self.entered)
        elif module in self._rooms and frame not in self._known:
            self._known.add(frame)
            if self._caller(frame) != module and self.entered[-1:] != [module]:
                self.entered.append(module)

    def _caller(self, frame: FrameType) -> str | None:
        """The room that a call comes from, directly or through other modules."""
        back = frame.f_back
        while back is not None:
            module = self._module(back.f_code)
            if module in self._rooms:
                return module
            back = back.f_back
        return None

    def _module(self, code: CodeType) -> str:
        if code not in self._modules:
            path = code.co_filename.removeprefix(_PACKAGE)
            self._modules[code] = path.removesuffix(".py")
        return self._modules[code]


def main() -> None:
    """Run `homeserver`; arguments: the heading, the file, and those of the command.

    The journey begins with SIGUSR1.
    """
    heading, file, *arguments = sys.argv[1:]

    def write(rooms: list[str]) -> None:
        unfinished = Path(f"{file}.part")
        unfinished.write_text(json.dumps(rooms), "utf-8")
        unfinished.rename(file)

    tracer = Tracer(documented()[heading], write)
    signal.signal(signal.SIGUSR1, lambda *_: sys.setprofile(tracer))
    command(arguments, prog_name="homeserver")


if __name__ == "__main__":
    main()
