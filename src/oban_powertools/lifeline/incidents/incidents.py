"""The incident calls of ``powertools.lifeline``: project, list, get, acknowledge, assign, note, mute."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from ...arguments import LONGEST, as_count, as_id, as_instant, as_key, as_list, as_text, as_word, refuse, unless_none
from ...incident_classes import IncidentClass
from ...operators.authorization import Action, ActorLike
from ...operators.services import Facade, Services
from ...states import IncidentState, IncidentStatus
from ...wire import rfc3339
from . import reading
from .handling import Handled, Handler
from .projecting import Projector
from .reading import ChosenIncidents
from .records import Incident, IncidentCounts

_OPEN: Final = (IncidentState.ACTIVE, IncidentState.ACKNOWLEDGED)

_STATES_OF: Final[Mapping[IncidentStatus, tuple[IncidentState, ...]]] = {
    IncidentStatus.NEEDS_REVIEW: (IncidentState.ACTIVE,),
    IncidentStatus.ACKNOWLEDGED: (IncidentState.ACKNOWLEDGED,),
    IncidentStatus.MUTED: _OPEN,
    IncidentStatus.RESOLVED: (IncidentState.RESOLVED,),
}
"""Word -> the states that may have it."""

_FUTURE: Final = "an aware instant in the future, within 100 years"


class Incidents(Facade):
    """What is broken: one incident per cause."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._projector = Projector(services.settings)
        self._handler = Handler(services)

    async def project_incidents(self) -> list[Incident]:
        """Project all incidents now; the sweep does so every ``incidents_every``.

        Returns:
            Those that are open, acknowledged or not, the last opened first; at most 1,000.

        Raises:
            psycopg.errors.LockNotAvailable: Another projection took over 5 s.

        Locks: the row of this part of the sweep; the incidents that change.
        """
        async with self._connect() as session:
            await self._projector.project(session)
            return await reading.list_incidents(session, self._display, ChosenIncidents(states=_OPEN))

    async def list_incidents(
        self,
        *,
        state: IncidentState | str | None = None,
        status: IncidentStatus | str | None = None,
        incident_class: IncidentClass | str | None = None,
        but_not: Collection[IncidentClass | str] = (),
        text: str | None = None,
        opened_from: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[Incident]:
        """Incidents as they were last projected, the last opened first.

        Args:
            state: Only in this state; None for those that are open, acknowledged or not.
            status: Only with this word, which also tells those that are muted; then ``state`` None means any.
            incident_class: Only of this class.
            but_not: None of these classes.
            text: Only those whose fingerprint, subject or assignee has this in it, in any case.
            opened_from: Only those that were opened, or came back, from this instant on; aware.
            before: The id of the last one of the previous page.
            limit: At most 1,000.

        Raises:
            InvalidArgumentError: There is no such state, word or class, or a filter is not what it should be.
        """
        word = None if status is None else as_word("status", status, IncidentStatus)
        states = _OPEN if word is None else _STATES_OF[word]
        chosen = ChosenIncidents(
            states=states if state is None else (as_word("state", state, IncidentState),),
            status=word,
            incident_class=None if incident_class is None else as_word("incident_class", incident_class, IncidentClass),
            but_not=tuple(as_word("but_not", each, IncidentClass) for each in as_list("but_not", but_not, "classes")),
            text=unless_none(as_key, "text", text),
            opened_from=None if opened_from is None else as_instant("opened_from", opened_from, "an aware instant"),
        )
        older, page = unless_none(as_id, "before", before), as_count("limit", limit)
        async with self._connect() as session:
            return await reading.list_incidents(session, self._display, chosen, before=older, limit=page)

    async def count_incidents(self) -> IncidentCounts:
        """How many incidents there are of each word, and what hangs on those that need a review.

        Each number ends at 10,000.
        """
        async with self._connect() as session:
            return await reading.count_incidents(session)

    async def incidents_seen_ago(self) -> timedelta | None:
        """How long ago some process last projected incidents, by the database's clock; None when none ever did."""
        async with self._connect() as session:
            row = await session.one("incidents_seen")
        return timedelta(seconds=row["seconds"]) if row and row["seconds"] is not None else None

    async def get_incident(self, incident: int | str) -> Incident:
        """One incident with its timeline.

        Args:
            incident: Its id or its fingerprint.

        Raises:
            IncidentNotFoundError: There is none.
        """
        async with self._connect() as session:
            return await reading.get_incident(session, self._display, incident)

    async def acknowledge_incident(self, incident: int | str, *, actor: ActorLike, source: str = "api") -> Incident:
        """Acknowledge an incident: record that a person has seen it.

        Raises:
            IncidentNotFoundError: There is none.
            IncidentResolvedError: It is over.
            UnattributedActorError, NotAuthorizedError: It was refused, and that is recorded.
        """
        return await self._handler.handle(
            Handled(action=Action.INCIDENT_ACKNOWLEDGE, which=incident, actor=actor, source=source)
        )

    async def assign_incident(
        self, incident: int | str, assignee: str | None, *, actor: ActorLike, source: str = "api"
    ) -> Incident:
        """Assign an incident to a person; None removes the assignee.

        Raises:
            InvalidArgumentError: The assignee is empty.
            IncidentNotFoundError, UnattributedActorError, NotAuthorizedError: As ``acknowledge_incident``.
        """
        unless_none(as_text, "assignee", assignee)
        return await self._handler.handle(
            Handled(
                action=Action.INCIDENT_ASSIGN,
                which=incident,
                actor=actor,
                source=source,
                assignee=assignee,
                detail={"assignee": assignee},
            )
        )

    async def note_incident(self, incident: int | str, note: str, *, actor: ActorLike, source: str = "api") -> Incident:
        """Add a note to its timeline, as the display policy shows it.

        Raises:
            InvalidArgumentError: The note is empty.
            IncidentNotFoundError, UnattributedActorError, NotAuthorizedError: As ``acknowledge_incident``.
        """
        text = as_text("note", note).strip()
        return await self._handler.handle(
            Handled(action=Action.INCIDENT_NOTE, which=incident, actor=actor, source=source, detail={"note": text})
        )

    async def mute_incident(
        self, incident: int | str, *, until: datetime, reason: str, actor: ActorLike, source: str = "api"
    ) -> Incident:
        """Mute an incident for a while; muting ends at that time, or when the incident is over.

        Args:
            until: Aware, and in the future of this process's clock.

        Raises:
            InvalidArgumentError: ``until`` is not aware, has passed, or is more than 100 years away.
            ReasonRequiredError: No reason is given.
            IncidentNotFoundError, IncidentResolvedError, UnattributedActorError, NotAuthorizedError: As
                ``acknowledge_incident``.
        """
        now = datetime.now(UTC)
        # Its own zone is left out: at either end of the calendar it cannot be converted.
        if as_instant("until", until, _FUTURE) <= now or until.replace(tzinfo=UTC) > now + LONGEST:
            raise refuse("until", until, _FUTURE)
        return await self._handler.handle(
            Handled(
                action=Action.INCIDENT_MUTE,
                which=incident,
                actor=actor,
                source=source,
                reason=reason,
                muted_until=until,
                detail={"until": rfc3339(until)},
            )
        )
