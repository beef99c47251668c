"""Repairs: a preview carries one out and rolls it back; an execution does exactly what was previewed, or nothing."""

from .bulk import Bulks
from .plan import Change, Effect
from .reading import Previews
from .records import (
    Bulk,
    BulkItem,
    BulkPreview,
    ListedPreview,
    MovedRow,
    PreviewCheck,
    PreviewStatus,
    RepairDone,
    RepairPreview,
)
from .repairs import Repairs

__all__ = [
    "Bulk",
    "BulkItem",
    "BulkPreview",
    "Bulks",
    "Change",
    "Effect",
    "ListedPreview",
    "MovedRow",
    "PreviewCheck",
    "PreviewStatus",
    "Previews",
    "RepairDone",
    "RepairPreview",
    "Repairs",
]
