"""The command ``powertools``. It reads arguments, asks for confirmation and prints; the rooms below decide.

Reference: ``docs/reference/cli.md``.
"""

from .main import main

__all__ = ["main"]
