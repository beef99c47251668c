"""The audit: who did what to which target, why, and with which outcome; kept until retention removes it.

The rule that must never break: an operator's change and its record are one transaction (invariant/I4).
"""

from .audit import Audit
from .operations import Operation, Operations, check_attributed, check_reason
from .reading import AuditFilter
from .recalling import recall
from .records import AuditFinding, AuditRecord, Entry, FindingKind, Outcome, Verification
from .sealing import seal
from .writing import write_entries

__all__ = [
    "Audit",
    "AuditFilter",
    "AuditFinding",
    "AuditRecord",
    "Entry",
    "FindingKind",
    "Operation",
    "Operations",
    "Outcome",
    "Verification",
    "check_attributed",
    "check_reason",
    "recall",
    "seal",
    "write_entries",
]
