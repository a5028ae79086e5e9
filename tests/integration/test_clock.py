"""What a daemon does when the machine's clock is set while it waits."""

import sys
from pathlib import Path

from scripts.processes import first_line, free_ports, make_endpoint
from tests.support.eventually import eventually
from tests.support.receivers import receiving

EDU = '{"edu_type": "m.test", "content": {}}'

IMPATIENT = """
[sending]
first_retry_seconds = 3
max_retry_seconds = 3
"""


def test_clock_that_is_set_back(tmp_path: Path) -> None:
    """A back-off lasts as long as before, and the jump is in the log."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    within = [sys.executable, "-m", "tests.support.set_clock", str(clock)]
    answers = [503]
    with receiving(
        tmp_path, free_ports(1), lambda: answers.pop() if answers else 200
    ) as ([receiver], configuration):
        alpha = make_endpoint(tmp_path / "alpha", "a.test", configuration + IMPATIENT)
        alpha.within = within
        with alpha.running() as process:
            first_line(process)
            alpha.within = ()
            alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
            eventually(lambda: not answers)
            clock.write_text("-86400")
            [state] = alpha.ask(
                "send", receiver.name, "--wait", "1", "--timeout", "100"
            )
            assert state["state"] == "delivered"
            assert state["attempts"] == 2
            said = "the clock was set back by 86400"
            eventually(lambda: said in alpha.log.read_text())
