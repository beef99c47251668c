"""Powertools on one database that runs no loop and works on no queue; needs no event loop to be made or closed."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from oban import Oban

from ..database import Session
from ..database.session_settings import configure, configure_obans, parameters
from ..powertools import Powertools
from ..runtime.oban_draining import find_default, set_default
from ..runtime.oban_hooks import detach
from .connections import LooselyPooled


class IdlePowertools(Powertools):
    """As ``Powertools``, on an Oban of its own that ``enqueue`` uses from now on.

    Args:
        dsn: Its database.
        prefix: Where Oban's tables are.
        options: As ``Powertools``'s.
    """

    def __init__(self, dsn: str, *, prefix: str, **options: Any) -> None:
        parts = parameters(dsn)
        self._default = find_default()
        self._obans = LooselyPooled("", configure=configure_obans, **parts)
        self._own = LooselyPooled("", configure=configure, **parts, autocommit=True)
        super().__init__(Oban(pool=self._obans, prefix=prefix), **options)
        self._attachment.own_pool = self._attachment.guests = self._own

    def session(self) -> AbstractAsyncContextManager[Session]:
        """A session in autocommit."""
        return self._connect()

    def finish(self) -> None:
        """Close the connections, and give ``enqueue`` back the instance that it had."""
        detach(self._attachment)
        self._obans.finish()
        self._own.finish()
        set_default(self._default)
