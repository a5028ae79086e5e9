"""The command from its first moment: `homeserver`, and `python -m homeserver`.

Rules: what an interruption does is set before anything large is loaded, as loading is
most of the time of a short command.
"""

from homeserver.net.interruptions import end_at_once


def main() -> None:
    """Run the command of the arguments."""
    end_at_once()
    from homeserver.cli.main import main as command  # noqa: PLC0415 - see above

    command(prog_name="homeserver")


if __name__ == "__main__":
    main()
