"""Read-only pages of Django's admin, each with a link to the console, where one can act.

Whoever may look at the console sees them. The rule that must never break: nothing is changed here.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .actors import may_look
from .configuration import configuration
from .models import ListedExecutor, ListedIncident, ListedJob, ListedWorkflow

_ModelAdmin: Any = admin.ModelAdmin
"""Generic for type checkers and not when it runs."""


class _ReadOnly(_ModelAdmin):
    """A list, and a page for each row, of which nothing can be changed."""

    page: Callable[[Any], str]
    """The address in the console of a row, below the console's path."""

    list_per_page = 50
    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Whoever may look at the console."""
        user: Any = request.user
        return may_look(user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As above."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """From the database with our schema."""
        rows: Any = super()
        return rows.get_queryset(request).using(configuration().database)

    @admin.display(description="console")
    def in_console(self, row: Any) -> SafeString:
        """The link."""
        return format_html('<a href="{}/{}">Open in the console</a>', configuration().console.path, self.page(row))


@admin.register(ListedWorkflow)
class _WorkflowAdmin(_ReadOnly):
    """Workflows."""

    list_display = (
        "id",
        "name",
        "state",
        "open",
        "failed",
        "total",
        "inserted_at",
        "in_console",
    )
    list_filter = ("state",)
    search_fields = (
        "=id",
        "=name",
    )
    readonly_fields = ("in_console",)

    @staticmethod
    def page(row: ListedWorkflow) -> str:
        """As the console has it."""
        return f"workflows/{row.pk}"


@admin.register(ListedIncident)
class _IncidentAdmin(_ReadOnly):
    """Incidents."""

    list_display = (
        "id",
        "title",
        "kind",
        "state",
        "count",
        "assignee",
        "opened_at",
        "in_console",
    )
    list_filter = (
        "state",
        "kind",
    )
    readonly_fields = ("in_console",)

    @staticmethod
    def page(row: ListedIncident) -> str:
        """As the console has it."""
        return f"incidents/{row.pk}"


@admin.register(ListedExecutor)
class _ExecutorAdmin(_ReadOnly):
    """Executors."""

    list_display = (
        "node",
        "queue",
        "started_at",
        "beat_at",
        "stopped_at",
        "in_console",
    )
    readonly_fields = ("in_console",)

    @staticmethod
    def page(row: ListedExecutor) -> str:  # noqa: ARG004 - all are on one page
        """As the console has it."""
        return "executors"


@admin.register(ListedJob)
class _JobAdmin(_ReadOnly):
    """Jobs."""

    list_display = (
        "id",
        "worker",
        "queue",
        "state",
        "attempt",
        "max_attempts",
        "in_console",
    )
    list_filter = ("state",)
    search_fields = (
        "=id",
        "=worker",
    )
    readonly_fields = ("in_console",)

    @staticmethod
    def page(row: ListedJob) -> str:
        """As the console has it."""
        return f"jobs/{row.pk}"
