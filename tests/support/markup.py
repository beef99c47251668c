"""What a page is made of, as a browser reads it: its text, its links, and whatever could run."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

TEMPLATE = "{{9973*9973}}"
"""What a template engine would compute, if it read texts."""

COMPUTED = str(9973 * 9973)
"""What it would make of it: too long to be in a page by chance, as in its clock."""

_LINKS = ("href", "src", "action", "formaction", "data", "xlink:href")
_QUIET = ("script", "style", "title")
_WITHIN_WORDS = ("wbr", "a", "code", "strong", "em", "time", "kbd")


@dataclass
class Markup:
    """One page."""

    text: str = ""
    """What is read, with blanks between elements."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list[tuple[str, dict[str, str]]])
    """Each element with its attributes."""

    @property
    def words(self) -> str:
        """What is read, with single blanks."""
        return " ".join(self.text.split())

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.tags if tag == "a" and "href" in attributes]

    @property
    def disabled(self) -> int:
        """Buttons that cannot be pressed."""
        return sum(tag == "button" and "disabled" in attributes for tag, attributes in self.tags)

    @property
    def runs(self) -> list[str]:
        """What could run that is not a script of our own: handlers, inline scripts and styles, links that are code."""
        found = [
            f"{tag} {name}" for tag, given in self.tags for name in given if name.startswith("on") or name == "style"
        ]
        found += [tag for tag, given in self.tags if tag in ("iframe", "object", "embed", "base", "style", "img")]
        found += ["script" for tag, given in self.tags if tag == "script" and "/static/" not in given.get("src", "")]
        # An empty one is the page itself.
        addresses = [given[name] for _, given in self.tags for name in _LINKS if given.get(name)]
        return found + [each for each in addresses if not each.startswith(("/", "#", "http://", "https://"))]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.markup = Markup()
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._separate(tag)
        self.markup.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag in _QUIET:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._separate(tag)
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def _separate(self, tag: str) -> None:
        if tag not in _WITHIN_WORDS:
            self.markup.text += " "

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.markup.text += data


def read_markup(html: str) -> Markup:
    """What a page is made of."""
    reader = _Reader()
    reader.feed(html)
    return reader.markup
