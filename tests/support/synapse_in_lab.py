"""A Synapse beside a lab whose authority it trusts, on the loopback interface."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homeserver.testing import Lab
from scripts.processes import LOOPBACK, free_ports
from scripts.synapse import Synapse, make_synapse
from tests.support.synapse_users import User


@contextmanager
def synapse_in_lab(folder: Path) -> Iterator[tuple[Lab, Synapse, User]]:
    """Both run; with them, a user of Synapse. Its folder is `folder`."""
    [port] = free_ports(1)
    with Lab() as lab:
        certificate, key = lab.certificate("localhost")
        (folder / "tls.crt").write_text(certificate)
        (folder / "tls.key").write_text(key)
        assert lab.ca_file is not None
        where = [f"{LOOPBACK}:{port}"]
        synapse = make_synapse(folder, f"localhost:{port}", where, Path(lab.ca_file))
        with synapse.running():
            yield lab, synapse, User.register(synapse, "alice")
