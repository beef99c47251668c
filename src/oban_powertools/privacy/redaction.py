"""Find what looks like a secret in a text and replace it by ``[redacted]``: the one list of patterns.

The database redacts what it stores by the same list (its function ``redacted``); a test compares the two pattern by
pattern. That function looks for one short expression first, which every pattern has to fit: a new one may need it
wider. So patterns use only what Python and PostgreSQL both understand, and ASCII classes: which characters a locale
calls a letter or a blank differs between servers. Groups before a word are capturing ones, because SQLAlchemy takes a
colon and a word for a parameter. Python tries alternatives in their order, PostgreSQL prefers the longest: what may
follow an alternative is part of it.

Not for values with keys (``display``). The rule that must never break: the time for a text grows no faster than its
length, because texts come from outside.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

REDACTED: Final = "[redacted]"

_SPACES: Final = r"\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's white space, for use inside brackets."""

_GAP: Final = rf"[{_SPACES}\u200b-\u200d\u2060\ufeff]{{0,8}}"
"""White space around the separator of key and value, also of zero width."""

_REST: Final = rf"[^{_SPACES},;&)}}\]]"
"""The rest of a word."""

_VALUE: Final = (
    rf"""(\[redacted\]{_REST}*|"([^"\\]|\\.)*"{_REST}*|'([^'\\]|\\.)*'{_REST}*|\\"[^"\\]*\\"{_REST}*|{_REST}+)"""
)
"""The value after a key: already redacted, quoted, quoted within quotes, or up to the end of a word."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One form of secrets."""

    text: str
    """The regular expression."""

    put: str = REDACTED
    """The replacement."""

    hints: Sequence[str] = ()
    """Lower-case texts, one of which must occur for the pattern to be tried; empty tries it always."""

    any_case: bool = False
    """Whether it ignores case."""


PATTERNS: Final = (
    # User and password of a URL, up to the last @ before the path: passwords hold some.
    Pattern(r"(?<=://)[^\s/@:]*:[^\s/]+(?=@)", hints=("://",)),
    Pattern(
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(-----END [A-Z ]{0,40}PRIVATE KEY-----)?", hints=("private key",)
    ),
    Pattern(
        rf"\b(bearer|basic)[{_SPACES}]+[\w.~+/=-]{{8,}}",
        put=rf"\1 {REDACTED}",
        hints=("bearer", "basic"),
        any_case=True,
    ),
    Pattern(
        "((pass(word|wd|phrase|code)|pwd|secret|token|(api|private|access|signing)[_-]?key|credential|authorization"
        rf"""|cookie)[\w-]{{0,40}}[\\"']{{0,4}}{_GAP}[=:]{{1,3}}>?{_GAP}){_VALUE}""",
        put=rf"\1{REDACTED}",
        hints=("pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie"),
        any_case=True,
    ),
    # Generated secrets: JWTs, keys with a prefix, long runs of letters and digits.
    Pattern(
        r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(sk|pk|rk|ghp|gho|github_pat|glpat|npm|xox[a-z])[_-][\w-]{10,}"
        r"|\bwhsec_[\w+/=-]{10,}|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{30,}"
    ),
    Pattern(r"\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}\b"),
    Pattern(r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*[0-9])[\w-]{32,}(?![\w-])"),
)
"""In the order in which they are applied."""

_COMPILED: Final = tuple(
    (re.compile(pattern.text, re.ASCII | (re.IGNORECASE if pattern.any_case else 0)), pattern) for pattern in PATTERNS
)


def redacted(text: str) -> str:
    """Replace what looks like a secret in a text.

    >>> redacted("cannot reach postgresql://app:hunter2@db/app, api_key=42")
    'cannot reach postgresql://[redacted]@db/app, api_key=[redacted]'
    """
    lowered = text.lower()
    for compiled, pattern in _COMPILED:
        if not pattern.hints or any(hint in lowered for hint in pattern.hints):
            text = compiled.sub(pattern.put, text)
    return text
