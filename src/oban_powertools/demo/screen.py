"""What the terminal shows while the census runs.

On a terminal: one block that is painted again and again, below the events that happened. Elsewhere: plain lines.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final, TextIO

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
CYAN: Final = "36"
"""ANSI colours."""

_PLAIN_EVERY: Final = 2.0
"""Seconds between two lines of progress where nothing can be repainted."""
_WIDEST_BAR: Final = 60


class Screen:
    """Events stay, the block below them is repainted.

    ``NO_COLOR`` is honoured; ``TERM=dumb`` is treated as no terminal.
    """

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = self._live and not os.environ.get("NO_COLOR")
        self._started_at = self._printed_at = time.monotonic()
        self._block = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the screen was made."""
        return time.monotonic() - self._started_at

    def event(self, text: str, colour: str = CYAN) -> None:
        """Print a line that stays; the time before it has the colour."""
        self._write([f"{self._paint(f'{self.elapsed:5.1f} s', colour)}  {text}"])

    def text(self, *lines: str) -> None:
        """Print lines that stay."""
        self._write(lines)

    def progress(self, done: int, total: int, details: Sequence[str]) -> None:
        """Show how far it is: a bar and details on a terminal, else a line now and then."""
        head = f"{done}/{total} steps, {done / total:.0%}"
        if self._live:
            width = max(10, min(_WIDEST_BAR, _columns() - 4))
            filled = done * width // total
            bar = self._paint(self._glyph("█") * filled, GREEN) + self._paint(self._glyph("░") * (width - filled), "2")
            lines = [f"{self.elapsed:.1f} s, {head}", *details]
            self._write([], ["", f"  {bar}", *(f"  {line}"[: _columns()] for line in lines)])
        elif time.monotonic() - self._printed_at >= _PLAIN_EVERY:
            self.event("; ".join([head, *details[:1]]))

    def _write(self, lines: Sequence[str], block: Sequence[str] = ()) -> None:
        """Wipe the block, print the lines, and print the new block."""
        wipe = f"\x1b[{self._block}F\x1b[J" if self._block else ""
        self._out.write(wipe + "".join(f"{line}\n" for line in (*lines, *block)))
        self._out.flush()
        self._block = len(block)
        self._printed_at = time.monotonic()

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours and text else text

    def _glyph(self, glyph: str) -> str:
        """The glyph, or one that every terminal knows."""
        try:
            glyph.encode(self._out.encoding)
        except UnicodeEncodeError:
            return "#" if glyph == "█" else "."
        return glyph


def _columns() -> int:
    """A line of this many characters does not wrap."""
    return shutil.get_terminal_size().columns - 1
