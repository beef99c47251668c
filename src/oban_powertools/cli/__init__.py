"""The command ``powertools``: a door, so it reads, asks and prints, and decides nothing.

Each command's work is done by the modules below; ``docs/reference/cli.md`` is its reference.
"""

from .main import main

__all__ = ["main"]
