"""The calls of ``powertools.events``: subscribe, read, publish.

Numbering events (placing) runs in a transaction of its own, never in the caller's.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, cast, overload

from ..acts import Action
from ..arguments import as_count, as_cursor, as_id, as_text, as_workflow_id, unless_none
from ..entering import entered
from ..errors import WorkflowNotFoundError
from ..operators.authorization import HOST, ActorLike
from ..operators.commanding import Commander
from ..operators.services import Facade, Services
from .feed import Feed
from .listener import Listener
from .notices import ExecutorUpdated, IncidentUpdated, RepairEnded, RetentionRan
from .publish import publish_change
from .reads import Log
from .subscription import Subscription
from .topics import WORKFLOWS, AnyEvent, Topic, TopicKind, of_workflow
from .types import Cursor, Event, StepChange, StepUpdated

_SUBSCRIBE: Final = (
    "a subscription is entered: async with powertools.events.subscribe...() as events, then async for event in events"
)


class Events(Facade):
    """Read events, and follow them live."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._commander = Commander(services)
        self._log = Log(services)
        self._feed = Feed(
            self._log,
            self._make_listener if self._settings.listen else None,
            poll_every=self._settings.events_poll_every,
            poll_alone_every=self._settings.events_poll_alone_every,
        )

    def topic_all(self) -> str:
        """The name of the topic with the events of every workflow: ``workflow:all``."""
        return "workflow:all"

    def topic_workflow(self, workflow_id: int | str) -> str:
        """The name of the topic with the events of one workflow: ``workflow:42``."""
        return f"workflow:{as_workflow_id(workflow_id)}"

    @entered(_SUBSCRIBE)
    async def subscribe_all(self, *, since: int | str | None = None) -> AsyncGenerator[Subscription[Event]]:
        """Follow the events of every workflow; leaving the context unsubscribes.

            async with powertools.events.subscribe_all() as events:
                async for event in events:
                    ...

        Args:
            since: Start after this cursor; None starts now, ``Cursor(0)`` at the start of the log.

        Raises:
            CursorExpiredError: The cursor is not in the log; also while iterating, when retention overtakes it.
        """
        async with self._feed.subscribed(WORKFLOWS, _after(since)) as subscription:
            yield subscription

    @entered(_SUBSCRIBE)
    async def subscribe_workflow(
        self, workflow_id: int | str, *, since: int | str | None = None
    ) -> AsyncGenerator[Subscription[Event]]:
        """Follow the events of one workflow; as ``subscribe_all``.

        Raises:
            WorkflowNotFoundError: It does not exist, is not committed yet, or was pruned: nothing would ever come.
            CursorExpiredError: As ``subscribe_all``.
        """
        key, after = as_workflow_id(workflow_id), _after(since)
        async with self._connect() as session:
            if await session.one("command_workflow", {"workflow_id": key}) is None:
                raise WorkflowNotFoundError(key)
        async with self._feed.subscribed(of_workflow(key), after) as subscription:
            yield subscription

    @entered(_SUBSCRIBE)
    async def subscribe_incidents(
        self, incident_id: int | str | None = None, *, since: int | str | None = None
    ) -> AsyncGenerator[Subscription[IncidentUpdated]]:
        """Follow what happens to incidents, or to one; as ``subscribe_all``.

        Raises:
            InvalidArgumentError: That is no id.
            CursorExpiredError: As ``subscribe_all``.
        """
        key = None if incident_id is None else str(as_id("incident_id", incident_id))
        async with self._feed.subscribed(Topic(kind=TopicKind.INCIDENT, subject=key), _after(since)) as subscription:
            yield subscription

    @entered(_SUBSCRIBE)
    async def subscribe_executors(
        self, executor_id: str | None = None, *, since: int | str | None = None
    ) -> AsyncGenerator[Subscription[ExecutorUpdated]]:
        """Follow which executors are late or missing and which have recovered, or one; as ``subscribe_all``.

        Raises:
            InvalidArgumentError: That is no id.
            CursorExpiredError: As ``subscribe_all``.
        """
        key = unless_none(as_text, "executor_id", executor_id)
        async with self._feed.subscribed(Topic(kind=TopicKind.EXECUTOR, subject=key), _after(since)) as subscription:
            yield subscription

    @entered(_SUBSCRIBE)
    async def subscribe_audit(
        self, *, since: int | str | None = None
    ) -> AsyncGenerator[Subscription[RepairEnded | RetentionRan]]:
        """Follow what operators repair or are refused, and the runs of the retention; as ``subscribe_all``.

        Raises:
            CursorExpiredError: As ``subscribe_all``.
        """
        async with self._feed.subscribed(Topic(kind=TopicKind.AUDIT), _after(since)) as subscription:
            yield subscription

    @entered(_SUBSCRIBE)
    async def subscribe(
        self, topic: Topic | str, *, since: int | str | None = None
    ) -> AsyncGenerator[Subscription[AnyEvent]]:
        """Follow a topic by its name, such as ``incident:all``; as ``subscribe_all``.

        Raises:
            InvalidArgumentError: There is no such topic.
            WorkflowNotFoundError: As ``subscribe_workflow``.
            CursorExpiredError: As ``subscribe_all``.
        """
        one = _as_topic(topic)
        if one.kind is TopicKind.WORKFLOW and one.subject is not None:
            async with self.subscribe_workflow(one.subject, since=since) as subscription:
                yield cast("Subscription[AnyEvent]", subscription)
            return
        async with self._feed.subscribed(one, _after(since)) as subscription:
            yield subscription

    async def head(self) -> Cursor:
        """The cursor of the newest event; 0 when there was none yet."""
        async with self._log.placed() as (_, bounds):
            return bounds.head

    async def read(self, *, since: int | str, workflow_id: int | str | None = None, limit: int = 1000) -> list[Event]:
        """One page of events, oldest first; empty when there is none after the cursor.

        Args:
            since: The cursor of the last event seen; ``Cursor(0)`` for the start of the log.
            workflow_id: Only of this workflow; None for all.
            limit: At most 10,000.

        Raises:
            CursorExpiredError: The cursor is not in the log: retention has removed events after it.
            InvalidArgumentError: The limit is out of range.
        """
        topic = WORKFLOWS if workflow_id is None else of_workflow(workflow_id)
        return cast("list[Event]", await self.read_topic(topic, since=since, limit=limit))

    async def read_topic(self, topic: Topic | str, *, since: int | str, limit: int = 1000) -> list[AnyEvent]:
        """One page of a topic, such as ``incident:all``; as ``read``.

        Raises:
            CursorExpiredError: As ``read``.
            InvalidArgumentError: There is no such topic, or the limit is out of range.
        """
        after, page = Cursor(as_cursor("since", since)), as_count("limit", limit, most=10_000)
        return list(await self._log.read_committed(_as_topic(topic), after, page))

    @overload
    async def publish(
        self,
        workflow_id: int | str,
        step: str,
        change: StepChange | str,
        *,
        attempt: int | None = None,
        error: str | None = None,
        actor: ActorLike | None = None,
        reason: str | None = None,
        source: str = "api",
        conn: None = None,
    ) -> StepUpdated: ...
    @overload
    async def publish(
        self,
        workflow_id: int | str,
        step: str,
        change: StepChange | str,
        *,
        attempt: int | None = None,
        error: str | None = None,
        actor: ActorLike | None = None,
        reason: str | None = None,
        source: str = "api",
        conn: object,
    ) -> StepUpdated | None: ...
    async def publish(
        self,
        workflow_id: int | str,
        step: str,
        change: StepChange | str,
        *,
        attempt: int | None = None,
        error: str | None = None,
        actor: ActorLike | None = None,
        reason: str | None = None,
        source: str = "api",
        conn: Any = None,
    ) -> StepUpdated | None:
        """Publish what happened to a step that runs elsewhere: it started, will be retried, or snoozes.

        It moves no step; ``workflows.complete_step`` ends one and writes that event itself. It writes an audit record,
        ``step_publish``, in the same transaction; the record of a refusal survives the caller's rollback.

        Args:
            attempt: None for the attempt its job is at.
            error: Its class and its text are kept in one line, at most 500 characters.
            actor: None for the host's own program. With an actor it is an operator's report: it needs a reason and is
            authorized.
            conn: Joins the caller's transaction, as in ``workflows.insert``.

        Returns:
            The event as subscribers get it; None in the caller's transaction, where it has no cursor yet.

        Raises:
            UnpublishableChangeError: Only the engine, or ``workflows.complete_step``, makes this change.
            UnstorableValueError: The error has characters that cannot be stored.
            InvalidArgumentError: The attempt is out of range.
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            StepNotReleasedError: It still waits for its dependencies.
            AlreadyTerminalError: It has its outcome already.
            UnsupportedSemanticsError: The workflow follows the rules of another release.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: An operator's word is refused.

        Locks: the workflow's family, until the transaction ends.
        """
        acting = HOST if actor is None else actor
        async with self._commander.command(
            Action.STEP_PUBLISH, workflow_id, step, acting, reason, source, conn=conn, change=str(change)
        ) as command:
            number = await publish_change(
                command.session, command.workflow_id, as_text("step", step), change, attempt=attempt, error=error
            )
        return await self._log.find(command.workflow_id, number) if conn is None else None

    async def stop(self) -> None:
        """End every subscription of this process."""
        await self._feed.stop()

    def _make_listener(self, wake: Callable[[], None]) -> Listener:
        services = self._services
        return Listener(services.connect_listener, services.queries["listen"], self._notify, wake)

    async def _notify(self) -> None:
        async with self._connect() as session:
            await session.run("notify_readers")


def _after(since: int | str | None) -> Cursor | None:
    return None if since is None else Cursor(as_cursor("since", since))


def _as_topic(topic: Topic | str) -> Topic:
    return topic if isinstance(topic, Topic) else Topic.parse(topic)
