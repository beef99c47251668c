"""Print to the terminal: lines that stay, with a progress line below them. Without a terminal, plain lines."""

import os
import shutil
import sys
import time
from datetime import timedelta
from typing import Final, TextIO

import click

from ..every import Every

_PLAIN_EVERY: Final = timedelta(seconds=2)
"""Between two lines of progress where nothing can be repainted."""
_BAR: Final = 20


class Screen:
    """Lines that stay above one that is painted again and again."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._started_at = time.monotonic()
        self._plain = Every(_PLAIN_EVERY, first_after=_PLAIN_EVERY)
        self._wipe = ""

    def event(self, text: str, colour: str = "cyan") -> None:
        """Print what just happened; the time before it has the colour."""
        self.tell(f"{time.monotonic() - self._started_at:5.1f} s", text, colour)

    def tell(self, head: str, text: str, colour: str | None = None) -> None:
        """Print a line that stays; it is wrapped on a terminal, below where its text starts."""
        head += "  "
        if self._live:
            room = shutil.get_terminal_size().columns - len(head)
            text = click.wrap_text(text, room, subsequent_indent=" " * len(head))
        self._print(click.style(head, fg=colour) + text)

    def progress(self, done: int, total: int, detail: str) -> None:
        """Show how far it is: on a terminal a bar, else a line now and then."""
        line = f"{done}/{total} steps, {done / total:.0%}; {detail}"
        if self._live:
            full, room = done * _BAR // total, shutil.get_terminal_size().columns - _BAR - 4
            bar = click.style("#" * full, fg="green") + "." * (_BAR - full)
            self._print(f"[{bar}] {line[:room]}", end="")
            self._wipe = "\r\x1b[K"
        elif self._plain.is_due:
            self.event(line)

    def _print(self, line: str, end: str = "\n") -> None:
        self._out.write(self._wipe)
        self._wipe = ""
        self._plain.rest()
        click.echo(line + end, self._out, nl=False)
