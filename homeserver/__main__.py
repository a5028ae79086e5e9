"""`python -m homeserver`, where the command is not on the path."""

from homeserver.cli.main import main

main(prog_name="homeserver")
