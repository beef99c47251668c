"""Tables of ours and of Oban's for Django's admin: without what may hold a secret.

Not for changing anything, nor for args, results and contexts: ``powertools`` has the calls, under policies. The rule
that must never break: no table here is Django's to create, alter or drop (``managed = False``).
"""
# pyright: reportIncompatibleVariableOverride=false

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from django.db import models

from .actors import NAMED
from .configuration import find_table


class ListedWorkflow(models.Model):
    """A workflow."""

    id: "models.BigIntegerField[int, int]" = models.BigIntegerField(primary_key=True)
    name: "models.TextField[str, str]" = models.TextField()
    state: "models.TextField[str, str]" = models.TextField()
    total: "models.IntegerField[int, int]" = models.IntegerField()
    open: "models.IntegerField[int, int]" = models.IntegerField()
    failed: "models.IntegerField[int, int]" = models.IntegerField()
    inserted_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    finished_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)

    class Meta:
        """Oban's and our tables are made by ``BringSchema``."""

        managed: ClassVar[bool] = False
        default_permissions: ClassVar[Sequence[str]] = ()
        db_table: ClassVar[str] = find_table("schema", "workflows")
        verbose_name: ClassVar[str] = "workflow"
        ordering: ClassVar[Sequence[str]] = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"


class ListedIncident(models.Model):
    """An incident."""

    id: "models.BigIntegerField[int, int]" = models.BigIntegerField(primary_key=True)
    kind: "models.TextField[str, str]" = models.TextField(db_column="class")
    state: "models.TextField[str, str]" = models.TextField()
    title: "models.TextField[str, str]" = models.TextField()
    count: "models.BigIntegerField[int, int]" = models.BigIntegerField()
    assignee: "models.TextField[str | None, str | None]" = models.TextField(null=True)
    opened_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    resolved_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)

    class Meta:
        """As above."""

        managed: ClassVar[bool] = False
        default_permissions: ClassVar[Sequence[str]] = ()
        db_table: ClassVar[str] = find_table("schema", "incidents")
        verbose_name: ClassVar[str] = "incident"
        ordering: ClassVar[Sequence[str]] = ["-id"]

    def __str__(self) -> str:
        return self.title


class ListedExecutor(models.Model):
    """An executor: one queue of one process."""

    executor_id: "models.TextField[str, str]" = models.TextField(primary_key=True)
    node: "models.TextField[str, str]" = models.TextField()
    queue: "models.TextField[str, str]" = models.TextField(db_column="producer_scope")
    started_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    beat_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField()
    stopped_at: "models.DateTimeField[datetime | None, datetime | None]" = models.DateTimeField(null=True)

    class Meta:
        """As above."""

        managed: ClassVar[bool] = False
        default_permissions: ClassVar[Sequence[str]] = ()
        db_table: ClassVar[str] = find_table("schema", "executors")
        verbose_name: ClassVar[str] = "executor"
        ordering: ClassVar[Sequence[str]] = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.node} {self.queue}"


class ListedJob(models.Model):
    """A job, of a step or plain. Its instants are without a time zone in Oban's table: UTC."""

    id: "models.BigIntegerField[int, int]" = models.BigIntegerField(primary_key=True)
    state: "models.TextField[str, str]" = models.TextField()
    queue: "models.TextField[str, str]" = models.TextField()
    worker: "models.TextField[str, str]" = models.TextField()
    attempt: "models.SmallIntegerField[int, int]" = models.SmallIntegerField()
    max_attempts: "models.SmallIntegerField[int, int]" = models.SmallIntegerField()

    class Meta:
        """As above."""

        managed: ClassVar[bool] = False
        default_permissions: ClassVar[Sequence[str]] = ()
        db_table: ClassVar[str] = find_table("prefix", "oban_jobs")
        verbose_name: ClassVar[str] = "job"
        ordering: ClassVar[Sequence[str]] = ["-id"]

    def __str__(self) -> str:
        return f"{self.worker} {self.pk}"


class ConsolePermissions(ListedWorkflow):
    """Has the permissions, which are not those of one table."""

    class Meta:
        """One permission to look, and one for each permission of acts."""

        proxy: ClassVar[bool] = True
        default_permissions: ClassVar[Sequence[str]] = ()
        verbose_name: ClassVar[str] = "console"
        permissions: ClassVar[Sequence[tuple[str, str]]] = NAMED
