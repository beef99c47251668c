"""The fields of a posted form. Not for what they mean: the page that asked for them knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class PostedForm:
    """The fields of a posted form.

    Args:
        fields: In their order; a name may be there several times.
    """

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """The field without blanks around it; empty when it is absent."""
        return next((value.strip() for field, value in self._fields if field == name), "")

    def texts(self, name: str) -> list[str]:
        """Every value of a field, such as ticked rows."""
        return [value for field, value in self._fields if field == name and value]

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked."""
        return bool(self.text(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was typed to decide on a preview, and what is wrong with it."""

    reason: str = ""
    """The reason."""

    confirm: str = ""
    """The target, or how many."""

    read: bool = False
    """Whether the box is ticked."""

    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    """Field -> sentence."""
