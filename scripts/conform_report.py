"""`homeserver conform` against a real homeserver, compared with a committed report.

Rules: the homeserver has a new database, and a network with nothing but a loopback
interface, in which our name server is the only one. The committed report has the
verdicts alone.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from homeserver.lab.authority.authority import Authority, chain_pem, key_pem
from homeserver.lab.folder import Folder
from scripts.processes import PROGRAM
from scripts.restartable import Running, restartable

NOTARY = "notary.lab.test"  # ours; it knows of no server but where a check needs it

_TOP = Path(__file__).parent.parent
_REPORTS = _TOP / "docs" / "conformance"

_INSIDE = "CONFORM_FOLDER"
"""Names the folder of a run, once the network has been made."""

_PORT = 7000
_ADDRESS = f"127.0.0.3:{_PORT}"
_LISTEN = "127.0.0.4:8448"
_DNS = "127.0.0.1:53"

_SETUP_PROGRAM = _TOP / "conf" / "conform" / "setup.py"

_SECONDS = 900  # for all checks; a machine that does nothing else needs sixty

_SETUP = """
ip link set lo up
mount --bind "$0/resolv.conf" /etc/resolv.conf
mount --bind "$0/hosts" /etc/hosts
exec "$@"
"""

Make = Callable[[Path, str, str, Path], Running]
"""Writes the configuration of a server with a name, which listens at an address and
trusts the authorities of a file, into a folder that has `tls.crt` and `tls.key`."""


@dataclass(frozen=True)
class Subject:
    """A homeserver that can be run here."""

    title: str
    """What it is called; in small letters, it names files, the script and the host."""

    make: Make
    secret: str
    """Its secret for registrations."""

    @property
    def host(self) -> str:
        """Its host."""
        return f"{self.title.lower()}.test"

    @property
    def report(self) -> Path:
        """Its committed report."""
        return _REPORTS / f"{self.title.lower()}.json"


def main(subject: Subject) -> int:
    """Make the network, and run in it; returns the exit status."""
    if _INSIDE in os.environ:
        return _run(subject, Path(os.environ[_INSIDE]), sys.argv[1:])
    more = [each for each in sys.argv[1:] if each != "--write"]
    checked = [str(PROGRAM), "conform", *more, "--list"]  # that reads its options
    status = subprocess.run(checked, stdout=subprocess.DEVNULL, check=False).returncode
    if status:
        return status
    name = subject.title.lower()
    with TemporaryDirectory(prefix=f"conform-{name}-") as folder:
        resolv, hosts = Path(folder) / "resolv.conf", Path(folder) / "hosts"
        resolv.write_text(f"nameserver {_host(_DNS)}\n")
        # As a notary, it may look for itself as for any other server.
        hosts.write_text(f"{_host(_ADDRESS)} {subject.host}\n127.0.0.1 localhost\n")
        # Who is not root becomes it in a namespace of users.
        users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = [
            *["unshare", "--net", "--mount", *users, "--"],
            *["sh", "-ec", _SETUP, folder],
            *[sys.executable, "-m", f"scripts.conform_{name}", *sys.argv[1:]],
        ]
        environment = {**os.environ, _INSIDE: folder}
        return subprocess.run(command, env=environment, check=False).returncode


def _run(subject: Subject, folder: Path, arguments: list[str]) -> int:
    writes = "--write" in arguments
    more = [each for each in arguments if each != "--write"]
    data, report = folder / "data", folder / "report.json"
    name = f"{subject.host}:{_PORT}"
    running = _make(subject, folder / "server", data)
    with restartable(running, folder / "restart.sock") as restart:
        command = [
            *[str(PROGRAM), "conform", name, "--target-address", _ADDRESS],
            *["--data", str(data), "--listen", _LISTEN, "--dns", _DNS],
            *["--setup", f"{sys.executable} {_SETUP_PROGRAM}"],
            *["--format", "json", "--output", str(report), *more],
        ]
        if not writes and subject.report.exists():
            command += ["--baseline", str(subject.report)]
        environment = {
            **os.environ,
            # The client API is beside that of the federation.
            "CONFORM_CLIENT_API": f"https://{name}",
            "CONFORM_SHARED_SECRET": subject.secret,
            "CONFORM_RESTART": restart,
            "SSL_CERT_FILE": str(data / "ca.pem"),
        }
        done = subprocess.run(command, check=False, timeout=_SECONDS, env=environment)
    if not report.exists():
        return done.returncode
    found = json.loads(report.read_text())
    # Some add the commit of the folder in which they run.
    found["version"] = found["version"].partition(" (")[0]
    print(_summary(found))
    if writes:
        _write(subject, found)
        return 0
    return done.returncode


def _host(address: str) -> str:
    return address.partition(":")[0]


def _make(subject: Subject, folder: Path, data: Path) -> Running:
    """A homeserver that trusts our authority, with a certificate of it."""
    folder.mkdir()
    ours = Folder(data)
    authority = Authority(ours.seed(None))
    ours.write_authorities(authority.pem, [])
    certificate = authority.issue_to_others([subject.host])
    (folder / "tls.crt").write_text(chain_pem(certificate))
    (folder / "tls.key").write_text(key_pem(certificate))
    return subject.make(folder, f"{subject.host}:{_PORT}", _ADDRESS, ours.ca_file)


def _summary(report: dict[str, object]) -> str:
    results = [each["result"] for each in _checks(report)]
    counts = {each: results.count(each) for each in dict.fromkeys(results)}
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{report['version']}: {len(results)} checks: {told}"


def _checks(report: dict[str, object]) -> list[dict[str, str]]:
    found = report["checks"]
    return found if isinstance(found, list) else []


def _write(subject: Subject, report: dict[str, object]) -> None:
    """Write the baseline, and the page about it."""
    subject.report.parent.mkdir(exist_ok=True)
    checks = _checks(report)
    verdicts = [{"id": each["id"], "result": each["result"]} for each in checks]
    subject.report.write_text(
        json.dumps({**report, "checks": verdicts}, indent=1) + "\n"
    )
    rows = [
        f"| {each['id']} | {each['result']} | {each['severity']} | {each['rule']} |"
        for each in checks
        if each["result"] in {"fail", "warn", "error"}
    ]
    name = subject.title.lower()
    made = (
        f"{_summary(report)}; specification {report['spec']}. Made on "
        f"{datetime.now(UTC):%Y-%m-%d} by `scripts/conform-{name} --write`, on a new "
        f"database, with the configuration of `scripts/{name}.py`."
    )
    head = [f"# {subject.title}", "", made, "", "| check | result | severity | rule |"]
    lines = [*head, "|---|---|---|---|", *rows]
    subject.report.with_suffix(".md").write_text("\n".join(lines) + "\n")
