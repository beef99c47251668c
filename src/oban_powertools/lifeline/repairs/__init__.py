"""Repairs: previewed by doing them and taking them back, executed as they were shown, or not at all."""

from .bulk import Bulks
from .plan import Change, Effect
from .records import Bulk, BulkItem, BulkPreview, RepairDone, RepairPreview
from .repairs import Repairs

__all__ = [
    "Bulk",
    "BulkItem",
    "BulkPreview",
    "Bulks",
    "Change",
    "Effect",
    "RepairDone",
    "RepairPreview",
    "Repairs",
]
