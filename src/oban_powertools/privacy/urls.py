"""What may be shown of a URL: where it leads, but neither its path nor what follows, which may be a secret. No I/O."""

from urllib.parse import urlsplit


def origin(url: str) -> str:
    """Scheme, host and port of a URL.

    >>> origin("https://ada:s3cret@Example.com:8443/hook/s3cret?key=1")
    'https://example.com:8443'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def masked_url(url: str) -> str:
    """A URL as people see it: its origin, and that more follows.

    >>> masked_url("https://hooks.example/services/TEAM/secret"), masked_url("https://hooks.example")
    ('https://hooks.example/…', 'https://hooks.example')
    """
    parts = urlsplit(url)
    return f"{origin(url)}/…" if parts.path.strip("/") or parts.query or parts.fragment else origin(url)
