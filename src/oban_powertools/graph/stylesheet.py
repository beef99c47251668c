"""The stylesheet of drawings, and the classes that it shares with them."""

from importlib.resources import files

from ..states import OperatorStatus


def stylesheet(*, tokens: bool = True) -> str:
    """The stylesheet of drawings; with the colours, unless the page defines those."""
    folder = files(__package__ or __name__)
    names = ("tokens.css", "graph.css") if tokens else ("graph.css",)
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def word_class(word: OperatorStatus) -> str:
    """The class of an operator's word: ``needs-review``."""
    return word.lower().replace(" ", "-")
