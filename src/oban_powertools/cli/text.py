"""Format text for a terminal: its width and its control characters.

It knows nothing of workflows. The rule that must never break: text from the database cannot send control sequences to
the reader's terminal, reverse its direction, or pass for another text.
"""

import json
import unicodedata
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of invisible characters that control how a text is displayed."""

_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible too, but needed to spell some scripts and emoji."""


def one_line(text: str) -> str:
    r"""The text on one line, with characters that cannot be seen made visible.

    >>> one_line("a\nb\x1b[31m")
    'a b\\x1b[31m'
    """
    return visible(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def visible(text: str) -> str:
    r"""The text with invisible characters, and line ends, as Python's escapes.

    >>> visible("a\u202eb")
    'a\\u202eb'
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_hidden(c) else c for c in text)


def visible_json(document: str) -> str:
    r"""A JSON document of the same value, with such characters in its texts as JSON escapes.

    >>> visible_json('{"a": "\x9b"}')
    '{"a": "\\u009b"}'
    """
    if document.isprintable():
        return document
    return "".join(json.dumps(c)[1:-1] if c != "\n" and _is_hidden(c) else c for c in document)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def state_beside(word: str | None, *states: str) -> str:
    """The raw states that stand beside a word, without one that says the same.

    >>> state_beside("Resolved", "resolved", "new"), state_beside("Healthy", "healthy")
    ('new', '')
    """
    return ", ".join(state for state in states if state.casefold() != (word or "").casefold())


def word_and_state(word: str, *states: str) -> str:
    """A word, and the raw states that say more in brackets.

    >>> word_and_state("Blocked", "executing"), word_and_state("Running", "running")
    ('Blocked (executing)', 'Running')
    """
    beside = state_beside(word, *states)
    return f"{word} ({beside})" if beside else word


def width(text: str) -> int:
    """Columns the text takes on a terminal; East Asian wide characters take two.

    >>> width("abc"), width("日本"), width("e\u0301")
    (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, columns: int) -> str:
    """The text cut to so many columns, with an ellipsis where something is missing.

    >>> shorten("customer", 5), shorten("customer", 8), shorten("日本語", 5)
    ('cust…', 'customer', '日本…')
    """
    if width(text) <= columns:
        return text
    short, used = "", 1
    for character in text:
        used += _columns(character)
        if used > columns:
            break
        short += character
    return f"{short}…"


def shorten_front(text: str, columns: int) -> str:
    """The end of the text in so many columns.

    >>> shorten_front("shop.workers.Mail", 8)
    '…rs.Mail'
    """
    return text if width(text) <= columns else shorten(text[::-1], columns)[::-1]


def wrap(text: str, columns: int, *, lines: int | None = None) -> list[str]:
    """The text on lines of at most so many columns, broken at blanks; a longer word has a line of its own.

    Args:
        lines: At most so many; the last one is shortened.

    >>> wrap("the bank is down again", 11), wrap("the bank is down again", 11, lines=1), wrap("", 11)
    (['the bank is', 'down again'], ['the bank i…'], [])
    """
    wrapped: list[str] = []
    rest = text
    while rest:
        if len(wrapped) + 1 == lines:
            return [*wrapped, shorten(rest.rstrip(), columns)]
        line, rest = _first_line(rest, columns)
        wrapped.append(line)
    return wrapped


def _first_line(text: str, columns: int) -> tuple[str, str]:
    if width(text) <= columns:
        return text, ""
    end, used = 0, 0
    for place, character in enumerate(text):
        used += _columns(character)
        if character == " " and (used <= columns + 1 or not end):
            end = place
        if used > columns and end:
            break
    return (text[:end], text[end + 1 :]) if end else (text, "")
