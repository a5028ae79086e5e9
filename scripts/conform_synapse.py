"""`homeserver conform` against a real Synapse, compared with a committed report.

Rules: Synapse has a new database, and a network with nothing but a loopback interface,
in which our name server is the only one. It differs from its defaults as
`scripts.synapse` says, and trusts a notary of ours. The committed report has the
verdicts alone.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from homeserver.lab.authority.authority import Authority, chain_pem, key_pem
from homeserver.lab.folder import Folder
from scripts.processes import PROGRAM
from scripts.synapse import REGISTRATION, Synapse, make_synapse

_TOP = Path(__file__).parent.parent
_BASELINE = _TOP / "docs" / "conformance" / "synapse.json"
_PAGE = _BASELINE.with_suffix(".md")

_INSIDE = "CONFORM_SYNAPSE_FOLDER"
"""Names the folder of a run, once the network has been made."""

_NAME = "synapse.test:7000"
_ADDRESS = "127.0.0.3:7000"
_LISTEN = "127.0.0.4:8448"
_DNS = "127.0.0.1:53"
_NOTARY = "notary.lab.test"  # ours; it knows of no server but where a check needs it

_SETUP_PROGRAM = _TOP / "conf" / "conform" / "setup.py"

_SECONDS = 900  # for all checks; a machine that does nothing else needs sixty

_SETUP = """
ip link set lo up
mount --bind "$0/resolv.conf" /etc/resolv.conf
mount --bind "$0/hosts" /etc/hosts
exec "$@"
"""


def main() -> int:
    """Make the network, and run in it; returns the exit status."""
    if _INSIDE in os.environ:
        return _run(Path(os.environ[_INSIDE]), sys.argv[1:])
    with TemporaryDirectory(prefix="conform-synapse-") as folder:
        resolv, hosts = Path(folder) / "resolv.conf", Path(folder) / "hosts"
        resolv.write_text(f"nameserver {_host(_DNS)}\n")
        # As a notary, Synapse looks for itself as for any other server.
        hosts.write_text(f"{_host(_ADDRESS)} {_host(_NAME)}\n127.0.0.1 localhost\n")
        # Who is not root becomes it in a namespace of users.
        users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = [
            *["unshare", "--net", "--mount", *users, "--"],
            *["sh", "-ec", _SETUP, folder],
            *[sys.executable, "-m", "scripts.conform_synapse", *sys.argv[1:]],
        ]
        environment = {**os.environ, _INSIDE: folder}
        return subprocess.run(command, env=environment, check=False).returncode


def _run(folder: Path, arguments: list[str]) -> int:
    writes = "--write" in arguments
    more = [each for each in arguments if each != "--write"]
    data, report = folder / "data", folder / "report.json"
    synapse = _make(folder / "synapse", data)
    with synapse.running():
        command = [
            *[str(PROGRAM), "conform", _NAME, "--target-address", _ADDRESS],
            *["--data", str(data), "--listen", _LISTEN, "--dns", _DNS],
            *["--setup", f"{sys.executable} {_SETUP_PROGRAM}"],
            *["--format", "json", "--output", str(report), *more],
        ]
        if not writes and _BASELINE.exists():
            command += ["--baseline", str(_BASELINE)]
        environment = {
            **os.environ,
            # The client API is beside that of the federation.
            "CONFORM_CLIENT_API": f"https://{_NAME}",
            "CONFORM_SHARED_SECRET": REGISTRATION,
            "SSL_CERT_FILE": str(data / "ca.pem"),
        }
        done = subprocess.run(command, check=False, timeout=_SECONDS, env=environment)
    if not report.exists():
        return done.returncode
    found = json.loads(report.read_text())
    # Synapse adds the commit of the folder in which it runs.
    found["version"] = found["version"].partition(" (")[0]
    print(_summary(found))
    if writes:
        _write(found)
        return 0
    return done.returncode


def _host(address: str) -> str:
    return address.partition(":")[0]


def _make(folder: Path, data: Path) -> Synapse:
    """A Synapse that trusts our authority, with a certificate of it, and our notary."""
    folder.mkdir()
    ours = Folder(data)
    authority = Authority(ours.seed(None))
    ours.write_authorities(authority.pem, [])
    certificate = authority.issue_to_others([_host(_NAME)])
    (folder / "tls.crt").write_text(chain_pem(certificate))
    (folder / "tls.key").write_text(key_pem(certificate))
    return make_synapse(folder, _NAME, [_ADDRESS], ours.ca_file, notary=_NOTARY)


def _summary(report: dict[str, object]) -> str:
    results = [each["result"] for each in _checks(report)]
    counts = {each: results.count(each) for each in dict.fromkeys(results)}
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"{report['version']}: {len(results)} checks: {told}"


def _checks(report: dict[str, object]) -> list[dict[str, str]]:
    found = report["checks"]
    return found if isinstance(found, list) else []


def _write(report: dict[str, object]) -> None:
    """Write the baseline, and the page about it."""
    _BASELINE.parent.mkdir(exist_ok=True)
    checks = _checks(report)
    verdicts = [{"id": each["id"], "result": each["result"]} for each in checks]
    _BASELINE.write_text(json.dumps({**report, "checks": verdicts}, indent=1) + "\n")
    rows = [
        f"| {each['id']} | {each['result']} | {each['severity']} | {each['rule']} |"
        for each in checks
        if each["result"] in {"fail", "warn", "error"}
    ]
    made = (
        f"{_summary(report)}; specification {report['spec']}. Made on "
        f"{datetime.now(UTC):%Y-%m-%d} by `scripts/conform-synapse --write`, on a new "
        "database, with the configuration of `scripts/synapse.py`."
    )
    head = ["# Synapse", "", made, "", "| check | result | severity | rule |"]
    lines = [*head, "|---|---|---|---|", *rows]
    _PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
