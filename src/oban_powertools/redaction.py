"""What looks like a secret in a text, and putting ``[redacted]`` in its place: the one list of patterns.

Not for values with keys, which ``display`` judges. The rule that must never break: the time a text takes grows no
faster than its length, since texts come from outside.
"""

import re
from typing import Final

REDACTED: Final = "[redacted]"

_VALUE: Final = r"""(?:\[redacted\]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\"[^"\\]*\\"|[^\s,;&)}\]]+)"""
"""What follows a key: hidden before, quoted, quoted within quotes, or up to what ends a word."""

_PATTERNS: Final = (
    # User and password of a URL, up to the last @ before the path: passwords hold some.
    (("://",), re.compile(r"(?<=://)[^\s/@:]*:[^\s/]+(?=@)"), REDACTED),
    (
        ("private key",),
        re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?"),
        REDACTED,
    ),
    (("bearer", "basic"), re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {REDACTED}"),
    (
        ("pass", "pwd", "secret", "token", "key", "credential", "authorization", "cookie"),
        re.compile(
            r"(?i)((?:pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|private|access|signing)[_-]?key|credential"
            rf"|authorization|cookie)[\w-]{{0,40}}[\\\"']{{0,4}}\s{{0,8}}[=:]\s{{0,8}}){_VALUE}"
        ),
        rf"\1{REDACTED}",
    ),
    # What is made by machines to be unguessable: JWTs, keys with a prefix, long runs of letters and digits.
    (
        (),
        re.compile(
            r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(?:sk|pk|rk|ghp|gho|github_pat|glpat|npm|xox[a-z])[_-][\w-]{10,}"
            r"|\bwhsec_[\w+/=-]{10,}|\bAKIA[A-Z0-9]{12,}|\bAIza[\w-]{30,}"
        ),
        REDACTED,
    ),
    ((), re.compile(r"\b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,}\b"), REDACTED),
    (
        (),
        re.compile(r"(?<![\w-])(?=[\w-]{0,400}[a-z])(?=[\w-]{0,400}[A-Z])(?=[\w-]{0,400}[0-9])[\w-]{32,}(?![\w-])"),
        REDACTED,
    ),
)
"""What has to be in a text, in lower case, for a pattern to be worth its time (nothing: always); the pattern; and what
takes its place."""


def redacted(text: str) -> str:
    """The text without what looks like a secret.

    >>> redacted("cannot reach postgresql://app:hunter2@db/app, api_key=42")
    'cannot reach postgresql://[redacted]@db/app, api_key=[redacted]'
    """
    lowered = text.lower()
    for hints, pattern, put in _PATTERNS:
        if not hints or any(hint in lowered for hint in hints):
            text = pattern.sub(put, text)
    return text
