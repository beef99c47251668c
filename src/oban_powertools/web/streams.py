"""The stream of a live page: it says that something has changed, never what; the page then asks for itself again."""

from typing import Final

from .page import PageRoute

ROUTES: Final[tuple[PageRoute, ...]] = ()
