"""Where each key of a configuration stands."""

import pytest

from homeserver.config.key_lines import find_lines, with_line

TEXT = """\
# A comment = 1
server_name = "a.org"
tls.certificate = "c"

[log]
level = "info"  # level = 2
  "format"='text'
[ dns ]
servers = [
  "127.0.0.1:53",
]
[[servers]]
listen = "127.0.0.1:1"
server_name = 'b.org' # ours
[servers.tls]
certificate = "b"
[[servers]]
listen = "127.0.0.1:2"
"""

LINES = {
    "server_name": 2,
    "tls.certificate": 3,
    "log": 5,
    "log.level": 6,
    "log.format": 7,
    "dns": 8,
    "dns.servers": 9,
    "servers": 12,
    "[[servers]] b.org: listen": 13,
    "[[servers]] b.org: server_name": 14,
    "[[servers]] b.org: tls": 15,
    "[[servers]] b.org: tls.certificate": 16,
    "[[servers]] number 2: listen": 18,
}


def test_lines() -> None:
    """Each key and each table has its line, however its name is written."""
    assert find_lines(TEXT) == LINES


PROBLEMS = [
    ("log.level: is odd", "line 6: log.level: is odd"),
    ("dns.servers: `[0]`: is odd", "line 9: dns.servers: `[0]`: is odd"),
    ("tls.private_key: is odd", "tls.private_key: is odd"),
    (
        "[[servers]] b.org: tls.certificate: is odd",
        "line 16: [[servers]] b.org: tls.certificate: is odd",
    ),
    ("log: is odd", "line 5: log: is odd"),
]


@pytest.mark.parametrize(("problem", "numbered"), PROBLEMS)
def test_with_line(problem: str, numbered: str) -> None:
    """A problem has the line of the key that it begins with, if there is one."""
    assert with_line(LINES, problem) == numbered
