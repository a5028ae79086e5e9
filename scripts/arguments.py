"""The options of the scripts, where a wrong one is told in one line."""

import argparse
from typing import NoReturn


class Arguments(argparse.ArgumentParser):
    """As `argparse` reads them."""

    def error(self, message: str) -> NoReturn:
        """End with the mistake, and what to do, in place of all that is allowed."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
