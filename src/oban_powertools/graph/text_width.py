"""Measure text without a screen, and shorten it to a width.

The table is that of DejaVu Sans, the widest of the system's usual fonts: what fits by it fits by the others.
"""

import unicodedata
from typing import Final

_EM: Final = {
    character: width
    for width, characters in {
        0.28: "'ijl",
        0.32: " ,.·IJ",
        0.36: "/:;\\|f-",
        0.41: "()[]t!r",
        0.5: '"*_`',
        0.55: "szc?",
        0.6: "LFkvxyPTYao",
        0.64: "eESbdghnpqu$0123456789{}",
        0.69: "KAVBRXZC",
        0.8: "UHNDG&OQw",
        0.86: "#+<=>^~\u00d7M",
        1.0: "%mW@…",
    }.items()
    for character in characters
}
_OTHER: Final = 0.7
_WIDE: Final = 1.05


def text_width(text: str, size: float) -> float:
    """Pixels that a text takes at a font size.

    >>> text_width("ab", 10) == 12.4, text_width("日本", 10)
    (True, 21.0)
    """
    return size * sum([_EM.get(character) or _em(character) for character in text])


def _em(character: str) -> float:
    if unicodedata.combining(character):
        return 0.0
    return _WIDE if unicodedata.east_asian_width(character) in "WF" or character > "\uffff" else _OTHER


def shorten_end(text: str, width: float, size: float) -> str:
    """The text itself where it fits, else its beginning: words are told apart by that.

    >>> shorten_end("signal catalogue.approved", 100, 12)
    'signal catalog…'
    """
    if text_width(text, size) <= width:
        return text
    room = width - text_width("…", size)
    for index, character in enumerate(text):
        room -= text_width(character, size)
        if room < 0:
            return f"{text[:index].rstrip()}…"
    return text


def shorten_middle(text: str, width: float, size: float) -> str:
    """The text itself where it fits, else its beginning and its end: numbers at the end tell names apart.

    >>> shorten_middle("individuals_ID0000012", 100, 12)
    'individ…000012'
    """
    if text_width(text, size) <= width:
        return text
    room = width - text_width("…", size)
    head, tail = "", ""
    for index in range(len(text)):
        into_tail = index % 2 == 1
        character = text[-len(tail) - 1] if into_tail else text[len(head)]
        room -= text_width(character, size)
        if room < 0:
            break
        if into_tail:
            tail = character + tail
        else:
            head += character
    return f"{head}…{tail}"
