# Written by `python -m tools.sync_types`: the types of facades.py.
# ruff: noqa: A002, E501
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from ..config import SharedValue
from ..errors.authorization import NotAuthorizedError
from ..errors.commands import CommandRefusedError
from ..events.notices import ExecutorUpdated, IncidentUpdated, RepairEnded, RetentionRan
from ..events.topics import AnyEvent, Topic
from ..events.types import Cursor, Event, StepChange, StepUpdated
from ..explain.explanations import JobExplanation, StepExplanation, WorkflowExplanation
from ..incident_classes import IncidentClass
from ..lifeline.incidents.records import Incident, IncidentCounts
from ..lifeline.repairs.records import (
    Bulk,
    BulkPreview,
    ListedPreview,
    PreviewCheck,
    PreviewStatus,
    RepairDone,
    RepairPreview,
)
from ..lifeline.upcoming import Upcoming
from ..operators.audit.reading import AuditFilter
from ..operators.audit.records import AuditRecord, Verification
from ..operators.authorization.actors import ActorLike
from ..operators.revealing import Revealable, Revealed
from ..runtime.executors import ExecutorCounts, ExecutorHealth
from ..states import ExecutorStatus, IncidentState, IncidentStatus, JobState, OperatorStatus, StepState, WorkflowState
from ..upkeep.jobs import JobDetail, JobPage
from ..upkeep.metrics.metrics import Readings
from ..upkeep.metrics.tally import Counts
from ..upkeep.queues import Queue
from ..upkeep.retention.records import PruneRun, RetentionStatus
from ..upkeep.settings import StoredSetting
from ..webhooks.formats import Format
from ..webhooks.records import Answer, DeliveryState, IssuedSecret, WebhookDelivery, WebhookEndpoint, WebhookHour
from ..webhooks.webhooks import OLD_SECRET_KEPT_FOR
from ..workflows.builder import Workflow
from ..workflows.finding_signals import OpenWait, StoredSignal
from ..workflows.history import History
from ..workflows.outlines import StepOutline, StepSpell
from ..workflows.records import CallbackRecord, Recovered, SignalRecord, StepPage, StepRecord, WorkflowRecord
from .waiting import SyncSubscription, SyncWorkflowHandle

class SyncAudit:
    def __init__(self, runs: Any) -> None: ...
    def check(self, record_id: int | str | None = None) -> Verification:
        """Compare one record with its hash and its seal with all that it holds; without an id, the newest 1,000 so."""

    def export(self, *, actor: ActorLike, chosen: AuditFilter | None = None, source: str = "api") -> Generator[str]:
        """Every record as a line of JSON, oldest first; the export itself is recorded before its first line."""

    def get(self, record_id: int | str) -> AuditRecord:
        """One record."""

    def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        outcome: str | None = None,
        actor_type: str | None = None,
        surface: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[AuditRecord]:
        """Records, newest first."""

    def verify(self, *, head: str | None = None) -> Verification:
        """Compare every record with its hash, and every seal with its records and the seal before."""

class SyncEvents:
    def __init__(self, runs: Any) -> None: ...
    def head(self) -> Cursor:
        """The cursor of the newest event; 0 when there was none yet."""

    def publish(
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
        """Publish what happened to a step that runs elsewhere: it started, will be retried, or snoozes."""

    def read(self, *, since: int | str, workflow_id: int | str | None = None, limit: int = 1000) -> list[Event]:
        """One page of events, oldest first; empty when there is none after the cursor."""

    def read_topic(self, topic: Topic | str, *, since: int | str, limit: int = 1000) -> list[AnyEvent]:
        """One page of a topic, such as ``incident:all``; as ``read``."""

    def stop(self) -> None:
        """End every subscription of this process."""

    def subscribe(
        self, topic: Topic | str, *, since: int | str | None = None
    ) -> AbstractContextManager[SyncSubscription[AnyEvent]]:
        """Follow a topic by its name, such as ``incident:all``; as ``subscribe_all``."""

    def subscribe_all(self, *, since: int | str | None = None) -> AbstractContextManager[SyncSubscription[Event]]:
        """Follow the events of every workflow; leaving the context unsubscribes."""

    def subscribe_audit(
        self, *, since: int | str | None = None
    ) -> AbstractContextManager[SyncSubscription[RepairEnded | RetentionRan]]:
        """Follow what operators repair or are refused, and the runs of the retention; as ``subscribe_all``."""

    def subscribe_executors(
        self, executor_id: str | None = None, *, since: int | str | None = None
    ) -> AbstractContextManager[SyncSubscription[ExecutorUpdated]]:
        """Follow which executors are late or missing and which have recovered, or one; as ``subscribe_all``."""

    def subscribe_incidents(
        self, incident_id: int | str | None = None, *, since: int | str | None = None
    ) -> AbstractContextManager[SyncSubscription[IncidentUpdated]]:
        """Follow what happens to incidents, or to one; as ``subscribe_all``."""

    def subscribe_workflow(
        self, workflow_id: int | str, *, since: int | str | None = None
    ) -> AbstractContextManager[SyncSubscription[Event]]:
        """Follow the events of one workflow; as ``subscribe_all``."""

    def topic_all(self) -> str:
        """The name of the topic with the events of every workflow: ``workflow:all``."""

    def topic_workflow(self, workflow_id: int | str) -> str:
        """The name of the topic with the events of one workflow: ``workflow:42``."""

class SyncExplain:
    def __init__(self, runs: Any) -> None: ...
    def job(self, job_id: int | str, *, check_import: bool = False) -> JobExplanation:
        """Explain a job, a step's or a plain one."""

    def workflow(self, workflow_id: int | str) -> WorkflowExplanation:
        """Explain a workflow: its steps by state, and the root causes in groups."""

    def workflow_step(self, workflow_id: int | str, step: str, *, check_import: bool = False) -> StepExplanation:
        """Explain a step, with its root causes upstream."""

class SyncJobs:
    def __init__(self, runs: Any) -> None: ...
    def count(self, *, queue: str | None = None) -> Mapping[JobState, int]:
        """Jobs in each state, those that have none too; each count stops at 10,000."""

    def get(self, job_id: int | str) -> JobDetail:
        """One job with its args, meta and errors, as the display policy shows them."""

    def list(
        self,
        *,
        state: JobState | str | None = None,
        status: OperatorStatus | str | None = None,
        queue: str | None = None,
        worker: str | None = None,
        tag: str | None = None,
        error: str | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """Jobs that fit everything that is given, newest first; errors as the display policy shows them."""

    def reveal(
        self, job_id: int | str, *, what: Revealable | str, actor: ActorLike, reason: str, source: str = "api"
    ) -> Revealed:
        """One value of a job as it is stored, with what the display policy hides of it; the audit keeps who saw it."""

class SyncLifeline:
    def __init__(self, runs: Any) -> None: ...
    def acknowledge_incident(self, incident: int | str, *, actor: ActorLike, source: str = "api") -> Incident:
        """Acknowledge an incident: record that a person has seen it."""

    def approve_repair(
        self, actor: ActorLike, preview_id: int | str, reason: str, *, source: str = "api"
    ) -> AuditRecord:
        """Approve a preview as the second person, where the host's policy is ``SecondPerson``; changes nothing else."""

    def assign_incident(
        self, incident: int | str, assignee: str | None, *, actor: ActorLike, source: str = "api"
    ) -> Incident:
        """Assign an incident to a person; None removes the assignee."""

    def bulk_status(self, bulk_id: int | str, *, token_for: ActorLike | None = None) -> Bulk:
        """A bulk repair with the outcome of each target."""

    def check_preview(self, preview_id: int | str) -> PreviewCheck:
        """Compare the rows that a preview shows with what they are now; locks nothing."""

    def count_executors(self) -> ExecutorCounts:
        """How many executors have which health, by the database's clock; changes nothing."""

    def count_incidents(self) -> IncidentCounts:
        """How many incidents there are of each word, and what hangs on those that need a review."""

    def execute_bulk(
        self,
        actor: ActorLike,
        preview_token: str,
        reason: str,
        *,
        confirm_total: int | None = None,
        source: str = "api",
    ) -> Bulk:
        """Repair the targets of a manifest one by one; called again, it continues where it stopped."""

    def execute_repair(self, actor: ActorLike, preview_token: str, reason: str, *, source: str = "api") -> RepairDone:
        """Execute a preview once, in one transaction with its audit record; or refuse."""

    def find_approval(self, preview_id: int | str) -> AuditRecord | None:
        """The audit record of a preview's approval by a second person; None while there is none."""

    def find_execution(self, preview_id: int | str) -> AuditRecord | None:
        """The audit record of a preview's execution; None while there is none, or when retention has removed it."""

    def find_execution_refusal(
        self, preview_id: int | str, asking: ActorLike
    ) -> CommandRefusedError | NotAuthorizedError | None:
        """Why this actor may not execute a preview, as far as that is known before; None when they may."""

    def find_preview_of(self, preview_token: str) -> RepairPreview | None:
        """The preview of a token, without the token; None when there is none."""

    def get_incident(self, incident: int | str) -> Incident:
        """One incident with its timeline."""

    def get_preview(self, preview_id: int | str, *, token_for: ActorLike | None = None) -> RepairPreview:
        """A stored preview, without its token."""

    def incidents_seen_ago(self) -> timedelta | None:
        """How long ago some process last projected incidents, by the database's clock; None when none ever did."""

    def list_executor_health(
        self,
        *,
        status: ExecutorStatus | str | None = None,
        worst_nodes: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[ExecutorHealth]:
        """Executors with their health, by the database's clock; changes nothing."""

    def list_incidents(
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
        """Incidents as they were last projected, the last opened first."""

    def list_previews(
        self,
        *,
        status: PreviewStatus | str | None = None,
        actor: str | None = None,
        action: str | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[ListedPreview]:
        """Previews, the newest first, those that can still be executed compared with the rows as they are now."""

    def list_upcoming(self, *, concerning: Incident | None = None, limit: int = 50) -> list[Upcoming]:
        """What happens next if nobody acts, the soonest first."""

    def mute_incident(
        self, incident: int | str, *, until: datetime, reason: str, actor: ActorLike, source: str = "api"
    ) -> Incident:
        """Mute an incident for a while; muting ends at that time, or when the incident is over."""

    def note_incident(self, incident: int | str, note: str, *, actor: ActorLike, source: str = "api") -> Incident:
        """Add a note to its timeline, as the display policy shows it."""

    def preview_bulk(
        self,
        actor: ActorLike,
        action: str,
        filter: Mapping[str, Any],
        *,
        incident_fingerprint: str | None = None,
        hold_for: timedelta | float | None = None,
        source: str = "api",
    ) -> BulkPreview:
        """List the targets of a bulk repair: a manifest of at most 1,000, with a token."""

    def preview_repair(
        self,
        actor: ActorLike,
        *,
        action: str,
        target_type: str,
        target_id: str | int,
        incident_fingerprint: str | None = None,
        payload: Any = None,
        hold_for: timedelta | float | None = None,
        to: str | None = None,
        source: str = "api",
    ) -> RepairPreview:
        """Preview a repair, by carrying it out and rolling it back; the token executes exactly that."""

    def project_incidents(self) -> list[Incident]:
        """Project all incidents now; the sweep does so every ``incidents_every``."""

    def refresh_heartbeats(self, heartbeats: Iterable[Mapping[str, Any]]) -> int:
        """Send heartbeats of the host's own executors; Oban's producers send theirs by themselves."""

    def retention_status(self) -> RetentionStatus:
        """How long each class of records is kept, how much is due, and the last run; changes nothing."""

    def run_archive_prune(
        self, actor: ActorLike, *, reason: str, dry_run: bool = False, source: str = "api"
    ) -> PruneRun:
        """Remove every record whose time is over, as the sweep does by itself, and archive what is to be kept of it."""

class SyncMetrics:
    def __init__(self, runs: Any) -> None: ...
    def count(self) -> Counts:
        """Count what happened since the last call, from the event log, and tell of it through telemetry."""

    def read(self, *, only: Collection[str] | None = None) -> Readings:
        """Read the gauges, each source at most 5 s; a database that does not answer gives none."""

class SyncQueues:
    def __init__(self, runs: Any) -> None: ...
    def get(self, queue: str) -> Queue:
        """One queue, with who serves it and who holds its places."""

    def list(self) -> list[Queue]:
        """Every queue that an executor serves, or that has jobs which have not ended; by name."""

    def pause(self, queue: str, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api") -> int:
        """Tell the executors of a queue to take no more jobs; what runs goes on."""

    def resume(self, queue: str, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api") -> int:
        """Tell them to take jobs again; as ``pause``."""

    def scale(
        self, queue: str, limit: int, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api"
    ) -> int:
        """Tell each of them how many jobs it may run at once, until it is started anew; as ``pause``."""

class SyncSharedSettings:
    def __init__(self, runs: Any) -> None: ...
    def change(
        self, name: str, value: SharedValue | float, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> StoredSetting:
        """Set one, for every process from its next look on."""

    def list_settings(self) -> list[StoredSetting]:
        """Every shared setting, by name; changes nothing."""

class SyncWebhooks:
    def __init__(self, runs: Any) -> None: ...
    def add(
        self,
        url: str,
        *,
        actor: ActorLike,
        reason: str,
        description: str = "",
        types: Iterable[str] | None = None,
        workflow_name: str | None = None,
        allow_private: bool = False,
        secret: str | None = None,
        secret_from_env: str | None = None,
        format: Format | str = Format.CLOUDEVENTS,
        console_url: str | None = None,
        since: int | str | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Add an endpoint: send events to a URL from now on."""

    def deliveries(
        self,
        endpoint_id: int | str,
        *,
        state: DeliveryState | str | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[WebhookDelivery]:
        """Deliveries of an endpoint, of the newest event first; delivered ones for 3 days, dead ones for 30."""

    def disable(self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api") -> WebhookEndpoint:
        """Send nothing until it is enabled again; events wait in the log."""

    def dispatch(self) -> int:
        """Write deliveries for new events and insert the jobs that send them."""

    def enable(self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api") -> WebhookEndpoint:
        """Enable it: deliveries continue where they stopped."""

    def get(self, endpoint_id: int | str) -> WebhookEndpoint:
        """One endpoint."""

    def list(self) -> list[WebhookEndpoint]:
        """Every endpoint, the oldest first."""

    def outcomes(self, *, hours: int = 24) -> Sequence[WebhookHour]:
        """What became of the deliveries of every endpoint, hour by hour; of each the newest 5,000 are looked at."""

    def remove(self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api") -> None:
        """Remove it, with its secrets and deliveries."""

    def replay(
        self,
        endpoint_id: int | str,
        cursor: int | str | None = None,
        *,
        actor: ActorLike,
        reason: str,
        source: str = "api",
    ) -> int:
        """Deliver again with the same ``webhook-id``: one delivery, or all dead ones."""

    def rotate_secret(
        self,
        endpoint_id: int | str,
        *,
        actor: ActorLike,
        reason: str,
        keep_old_for: timedelta | float = OLD_SECRET_KEPT_FOR,
        secret: str | None = None,
        secret_from_env: str | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Sign with a new secret, and for a while also with the old one."""

    def sweep(self) -> bool:
        """Dispatch, and remove old deliveries; returns whether this node did all of it."""

    def test(self, endpoint_id: int | str) -> Answer:
        """Send a ping from this process at once, ahead of all waiting deliveries."""

    def update(
        self,
        endpoint_id: int | str,
        *,
        actor: ActorLike,
        reason: str,
        url: str | None = None,
        description: str | None = None,
        types: Iterable[str] | None = None,
        workflow_name: str | None = None,
        any_workflow: bool = False,
        allow_private: bool | None = None,
        console_url: str | None = None,
        source: str = "api",
    ) -> WebhookEndpoint:
        """Change the given fields; deliveries that wait for their next attempt are tried at once."""

class SyncWorkflows:
    def __init__(self, runs: Any) -> None: ...
    def callbacks(self, workflow_id: int | str) -> Sequence[CallbackRecord]:
        """What became of the ``on_finished`` job, once for each time that the workflow ended, oldest first."""

    def commands(self, workflow_id: int | str, *, limit: int = 100) -> Sequence[dict[str, Any]]:
        """The commands on a workflow, refused ones too, newest first: one dict per row of the view ``commands``."""

    def complete_step(
        self,
        workflow_id: int | str,
        step: str,
        *,
        status: str = "completed",
        payload: Any = None,
        actor: ActorLike | None = None,
        reason: str | None = None,
        source: str = "api",
        conn: Any = None,
    ) -> None:
        """End a released step that runs outside Oban; its job ends with it."""

    def export(self, workflow_id: int | str) -> dict[str, Any]:
        """A whole workflow, with what is nested in it and around it, as one JSON document, to bring it back in a test."""

    def find(self, workflow_id: int | str) -> WorkflowRecord | None:
        """One workflow; None when it does not exist."""

    def get(self, workflow_id: int | str) -> WorkflowRecord:
        """One workflow."""

    def history(
        self, workflow_id: int | str, *, step: str | None = None, after: str | None = None, limit: int = 100
    ) -> History:
        """Everything that happened to a workflow in one timeline, oldest first, and how its steps spent their time."""

    def hold(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        hold_for: timedelta | float,
        actor: ActorLike,
        reason: str,
        source: str = "api",
        conn: Any = None,
    ) -> int:
        """Keep a step, or every step of a workflow, from starting; the hold ends by itself."""

    def insert(self, workflow: Workflow, *, conn: Any = None) -> SyncWorkflowHandle:
        """Check a definition and store it whole, with the jobs of its roots."""

    def insert_many(
        self, workflows: Iterable[Workflow], *, atomic: bool = True, conn: Any = None
    ) -> list[SyncWorkflowHandle]:
        """Insert several workflows, all or none, in a constant number of statements."""

    def list(
        self,
        *,
        state: WorkflowState | str | None = None,
        status: OperatorStatus | str | None = None,
        name: str | None = None,
        tag: str | None = None,
        idempotency_key: str | None = None,
        label: str | None = None,
        context: Mapping[str, Any] | None = None,
        worker: str | None = None,
        step: str | None = None,
        error: str | None = None,
        nested: bool | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        finished_from: datetime | None = None,
        finished_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[WorkflowRecord]:
        """Workflows that fit everything that is given, newest first."""

    def list_signals(
        self,
        *,
        signal: str | None = None,
        correlation_key: str | None = None,
        workflow_id: int | str | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[StoredSignal]:
        """Stored signals that no wait has taken yet and that fit everything that is given, newest first."""

    def list_steps(
        self,
        workflow_id: int | str,
        *,
        step: str | None = None,
        state: StepState | str | None = None,
        status: OperatorStatus | str | None = None,
        failed_first: bool = True,
        after: str | None = None,
        limit: int = 100,
        payloads: bool = True,
    ) -> StepPage:
        """A page of the steps of a workflow that fit everything that is given."""

    def list_waits(
        self,
        *,
        signal: str | None = None,
        correlation_key: str | None = None,
        workflow_id: int | str | None = None,
        registered_from: datetime | None = None,
        registered_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[OpenWait]:
        """Waits that no signal has ended yet and that fit everything that is given, newest first; as ``list_signals``."""

    def outline(self, workflow_id: int | str) -> Sequence[StepOutline]:
        """All steps of a workflow without args, results and errors, in position order: what a drawing of it needs."""

    def recover(
        self,
        workflow_id: int | str,
        step: str | None = None,
        action: str = "retry",
        *,
        actor: ActorLike,
        reason: str,
        payload: Any = None,
        source: str = "api",
        conn: Any = None,
    ) -> Recovered:
        """Retry failed steps, with the steps cancelled because of them; or decide the outcome of a step."""

    def release(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        actor: ActorLike,
        reason: str,
        source: str = "api",
        conn: Any = None,
    ) -> int:
        """End the hold of a step, or of every step of a workflow; steps that are ready start."""

    def request_cancel(
        self, workflow_id: int | str, *, actor: ActorLike, reason: str, source: str = "api", conn: Any = None
    ) -> None:
        """Request a workflow's cancel: idle steps and their jobs are cancelled, executing jobs are asked to stop."""

    def results(self, workflow_id: int | str) -> dict[str, Any]:
        """Step name -> result of the completed steps, in position order; None where there is no result."""

    def reveal(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        what: Revealable | str,
        actor: ActorLike,
        reason: str,
        source: str = "api",
    ) -> Revealed:
        """One value as it is stored, with what the display policy hides of it; the audit keeps who saw it."""

    def signal(
        self,
        signal: str,
        correlation_key: str,
        payload: Any = None,
        *,
        dedupe_key: str | None = None,
        workflow_id: int | str | None = None,
        expires_in: timedelta | float | None = None,
        only_begun: bool = False,
        conn: Any = None,
    ) -> SignalRecord:
        """Deliver a signal; its payload becomes the result of the step that waits for it."""

    def spells(self, workflow_id: int | str, *, steps: Sequence[str] | None = None) -> Sequence[StepSpell]:
        """How steps of a workflow spent their time, by position and then oldest first: what a Gantt chart needs."""

    def steps(self, workflow_id: int | str) -> Sequence[StepRecord]:
        """All steps of a workflow, in position order."""

    def to_dot(self, workflow_id: int | str) -> str:
        """A stored workflow with its states in Graphviz's DOT language."""

    def to_mermaid(self, workflow_id: int | str) -> str:
        """A stored workflow with its states as a Mermaid flowchart."""

    def wait(self, workflow_id: int | str, *, timeout: timedelta | float | None = None) -> WorkflowRecord:
        """Wait until the workflow has ended."""
