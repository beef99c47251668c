"""Repairs: previewed by doing them and taking them back, executed as they were shown, or not at all."""

from .bulk import Bulk, BulkItem, BulkPreview, Bulks
from .context import Context, Incidents
from .execute import RepairDone
from .plan import Change, Effect
from .preview import RepairPreview
from .repairs import Repairs

__all__ = [
    "Bulk",
    "BulkItem",
    "BulkPreview",
    "Bulks",
    "Change",
    "Context",
    "Effect",
    "Incidents",
    "RepairDone",
    "RepairPreview",
    "Repairs",
]
