"""Start Synapse beside a lab: with a certificate of the lab, and trust in the lab.

`HOMESERVER_LAB` is the URL of the lab's control API, `HOMESERVER_LAB_TOKEN` its token.
All files are written to the working directory.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

SERVER_NAME = "synapse.test"


def ask_lab(path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of the control API; raises `OSError`."""
    request = Request(
        f"{os.environ['HOMESERVER_LAB']}/v1/{path}",
        None if content is None else json.dumps(content).encode(),
        {"Authorization": f"Bearer {os.environ['HOMESERVER_LAB_TOKEN']}"},
    )
    with urlopen(request, timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def write_files(folder: Path) -> Path:
    """Write what Synapse needs; returns the configuration."""
    issued = ask_lab("ca/certificates", {"names": [SERVER_NAME]})
    (folder / "tls.crt").write_text(issued["certificate"])
    (folder / "tls.key").write_text(issued["private_key"])
    (folder / "ca.pem").write_text(ask_lab("lab")["ca_pem"])
    configuration = {
        "server_name": SERVER_NAME,
        "report_stats": False,
        "listeners": [
            {
                "type": "http",
                "port": 8448,
                "tls": True,
                "bind_addresses": ["0.0.0.0"],
                "resources": [{"names": ["federation", "client"]}],
            }
        ],
        "database": {
            "name": "sqlite3",
            "args": {"database": str(folder / "synapse.db")},
        },
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": "of a test",
        "form_secret": "of a test",
        "tls_certificate_path": str(folder / "tls.crt"),
        "tls_private_key_path": str(folder / "tls.key"),
        "federation_custom_ca_list": [str(folder / "ca.pem")],
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "trusted_key_servers": [],
        "enable_registration": True,
        "enable_registration_without_verification": True,
    }
    # YAML is a superset of JSON.
    path = folder / "homeserver.json"
    path.write_text(json.dumps(configuration, indent=1))
    return path


def main() -> None:
    """Write the files, and become Synapse."""
    command = ["synapse_homeserver", "--config-path", str(write_files(Path.cwd()))]
    subprocess.run([*command, "--generate-keys"], check=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
