"""Powertools on one database that runs no loop and works on no queue; needs no event loop to be made or closed."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from oban import Oban

from ..database import Session, json_border
from ..database.session_settings import configure, parameters
from ..powertools import Powertools
from ..runtime.oban_attachment import Attachment
from ..runtime.oban_draining import find_default, set_default
from ..runtime.oban_hooks import detach
from ..sync.calls import SyncCalls
from ..sync.runs import Runs, Wanted
from .connections import LooselyPooled, Sessions


class _LastingRuns(Runs):
    def close(self) -> None:
        """Leave them to the other workers of the test."""

    def end(self) -> None:
        """Close them with the runner."""
        super().close()


class IdlePowertools(Powertools):
    """As ``Powertools``, on an Oban of its own that ``enqueue`` uses from now on.

    Args:
        dsn: Its database.
        prefix: Where Oban's tables are.
        options: As ``Powertools``'s.
    """

    def __init__(self, dsn: str, *, prefix: str, **options: Any) -> None:
        self._default = find_default()
        # One for all: what Oban fetches and we settle is then planned in one session.
        self._sessions = Sessions("", configure=configure, **parameters(dsn))
        own = LooselyPooled(self._sessions, autocommit=True, dumps=json_border.dumps)
        obans = LooselyPooled(self._sessions, autocommit=False)
        super().__init__(Oban(pool=obans, prefix=prefix), **options)
        self._pools = (obans, own)
        self._attachment.own_pool = self._attachment.guests = own
        self._runs = _LastingRuns(
            Wanted(
                source=dsn, authorize=None, display=None, names=self._attachment.queries.names, settings=self.settings
            )
        )
        self._attachment.sync_calls = SyncCalls(self._runs)

    @property
    def attachment(self) -> Attachment:
        """Serves its Oban."""
        return self._attachment

    def session(self) -> AbstractAsyncContextManager[Session]:
        """A session in autocommit."""
        return self._connect()

    def finish(self) -> None:
        """Close the connections, and give ``enqueue`` back the instance that it had."""
        detach(self._attachment)
        self._runs.end()
        for pool in self._pools:
            pool.finish()
        set_default(self._default)
