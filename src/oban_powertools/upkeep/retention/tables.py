"""Every table of our schema: the class whose policy removes its rows, or why they stay. No I/O.

A test fails for a table that is missing here.
"""

from collections.abc import Mapping
from typing import Final

from .records import RecordClass

_ONE_ROW: Final = "One row, which is only updated."

TABLES: Final[Mapping[str, RecordClass | str]] = {
    "workflows": RecordClass.WORKFLOWS,
    "steps": RecordClass.WORKFLOWS,
    "waits": RecordClass.WORKFLOWS,
    "callbacks": RecordClass.WORKFLOWS,
    "signals": RecordClass.SIGNALS,
    "rescues": RecordClass.RESCUES,
    "late_results": RecordClass.LATE_RESULTS,
    "audit": RecordClass.AUDIT,
    "audit_links": RecordClass.AUDIT,
    "audit_seals": RecordClass.AUDIT,
    "audit_chain": _ONE_ROW,
    "incidents": RecordClass.INCIDENTS,
    "incident_entries": RecordClass.INCIDENTS,
    "incident_classes": "One row a class, which an upgrade writes.",
    "incident_projection": _ONE_ROW,
    "previews": RecordClass.PREVIEWS,
    "bulks": RecordClass.BULKS,
    "bulk_items": RecordClass.BULKS,
    "repair_secret": _ONE_ROW,
    "executors": RecordClass.EXECUTORS,
    "settle_faults": RecordClass.SETTLE_FAULTS,
    "archive": RecordClass.ARCHIVE,
    "prune_runs": RecordClass.PRUNE_RUNS,
    "sweep_parts": "One row a part of the sweep, which is only updated.",
    "events": "Removed by the sweep after `Settings.events_kept_for`; the last one of a workflow goes with it.",
    "event_batches": "Removed by the sweep after `Settings.events_kept_for`.",
    "notices": "Removed by the sweep after `Settings.events_kept_for`.",
    "event_log": _ONE_ROW,
    "deferred_starts": "Taken within a second or so, when events get their place.",
    "webhook_endpoints": "Set up and removed by operators.",
    "webhook_secrets": "Removed with their endpoint, and by the sweep when a rotated one expires.",
    "webhook_deliveries": "Removed by the sweep 3 days after delivery, dead ones after 30 days.",
    "settings": "One row a setting, which is only updated.",
    "migrations": "One row a migration, which tells what is installed.",
}
"""Table -> class, or a sentence."""
