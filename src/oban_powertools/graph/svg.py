"""Draw a picture of a workflow as SVG, for a page that has the stylesheet ``graph.css``.

Pure. Nothing is inline, so a strict content policy lets it through. A state is told by its glyph and its word; colour
only helps. A file on its own is the matter of ``alone``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..plural import counted
from ..states import OperatorStatus, StepState
from .flow import STUB, Point
from .glyphs import kind_glyph, state_glyph, symbols
from .markup import attribute, number, reference, text
from .place import INSET, MEASURES, TIMES, Direction, Measures, Picture, Placed, Size, Stroke, head_height
from .stylesheet import word_class
from .text_width import shorten_end, shorten_middle, text_width
from .view import Box

type LinkTo = Callable[[Box], str | None]
"""Where a box leads to; None for nowhere."""

MARGIN: Final = 14.0
_TIP: Final = 7.0
_GLYPH: Final = 12.0
_STACK: Final = 3.0
_WORDS: Final = tuple(OperatorStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The page that a drawing is put into."""

    title: str
    """Names the drawing."""

    description: str
    """Says in a sentence what is seen, for those who see nothing."""

    link: LinkTo | None = None
    """Where a box leads to."""

    toggle: LinkTo | None = None
    """Where the sign of a box leads to that can be opened or closed."""

    sprite: str | None = None
    """The address of a sprite with the glyphs; None puts those in use into the drawing."""

    only: OperatorStatus | None = None
    """Boxes without a step of this word stand back."""

    id_prefix: str = "graph"
    """Begins the ids of a drawing; each drawing of a document needs its own."""


def draw(picture: Picture, page: Surroundings) -> str:
    """The drawing as an ``<svg>`` element for a page that has the stylesheet ``graph.css``."""
    definitions, body = elements(picture, page)
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    return (
        f"{opening(page, width, height, f'graph graph-{picture.size}')}{definitions}{moved(body, MARGIN, MARGIN)}</svg>"
    )


def elements(picture: Picture, page: Surroundings) -> tuple[str, str]:
    """The definitions that a drawing needs, and the drawing with its corner at the origin."""
    painter = _Painter(picture.size, picture.direction, page)
    body = "".join(painter.picture(picture))
    if page.sprite is not None or not painter.glyphs:
        return "", body
    return f"<defs>{symbols(painter.glyphs, f'{attribute(page.id_prefix)}-')}</defs>", body


def opening(page: Surroundings, width: float, height: float, classes: str) -> str:
    """The beginning of a document: its extent, its title and its description."""
    prefix, extent = attribute(page.id_prefix), f"{number(width)} {number(height)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{classes}" width="{number(width)}"'
        f' height="{number(height)}" viewBox="0 0 {extent}" role="group"'
        f' aria-labelledby="{prefix}-title" aria-describedby="{prefix}-desc">'
        f'<title id="{prefix}-title">{text(page.title)}</title>'
        f'<desc id="{prefix}-desc">{text(page.description)}</desc>'
    )


def moved(body: str, x: float, y: float) -> str:
    """A part of a drawing, elsewhere."""
    return f'<g transform="translate({number(x)} {number(y)})">{body}</g>'


class _Painter:
    """Writes the elements of a picture, and remembers the glyphs that it used."""

    def __init__(self, size: Size, direction: Direction, page: Surroundings) -> None:
        self.glyphs: set[str] = set()
        self._size = size
        self._measures: Measures = MEASURES[size]
        self._turned = direction is Direction.RIGHT
        self._page = page

    def picture(self, picture: Picture) -> Iterator[str]:
        """Lines first, boxes over them, in the order of the flow: that is the order of the tab key."""
        drawn = [stroke for stroke in picture.strokes if not stroke.on_path]
        yield from self._edges(drawn)
        yield from self._edges([stroke for stroke in picture.strokes if stroke.on_path])
        for placed in sorted(picture.boxes, key=self._along):
            yield from self._node(placed)

    def _along(self, placed: Placed) -> Point:
        return (placed.x, placed.y) if self._turned else (placed.y, placed.x)

    def _edges(self, strokes: Sequence[Stroke]) -> Iterator[str]:
        """One element for all lines of one look that leave a box, and one for their tips."""

        def look(stroke: Stroke) -> tuple[int, str]:
            names = ["", "cut"][stroke.is_cut], ["", "continue"][stroke.is_dashed], ["", "on-path"][stroke.on_path]
            return stroke.parent, " ".join(filter(None, names))

        for (_, names), group in groupby(sorted(strokes, key=look), key=look):
            lines = list(group)
            cut = [line.points[-1] for line in lines if line.is_cut and not line.arrives]
            cut += [line.points[0] for line in lines if line.is_cut and line.arrives]
            extra = f" {names}" if names else ""
            yield f'<path class="edge{extra}" d="{"".join(self._line(line) for line in lines)}"/>'
            ends = dict.fromkeys(line.points[-1] for line in lines if line.arrives)
            if ends:
                yield f'<path class="tip{extra}" d="{"".join(map(self._tip, ends))}"/>'
            yield from (f'<circle class="end" cx="{number(x)}" cy="{number(y)}" r="2.5"/>' for x, y in cut)

    def _line(self, stroke: Stroke) -> str:
        *points, last = stroke.points
        if stroke.arrives:
            x, y = last
            last = (x - _TIP + 1, y) if self._turned else (x, y - _TIP + 1)
        x, y = points[0]
        parts = [f"M{number(x)} {number(y)}"]
        for x1, y1 in (*points[1:], last):
            if self._turned:
                parts.append(f"H{number(x1)}" if y == y1 else _curve(x, y, x1, y1, turned=True))
            else:
                parts.append(f"V{number(y1)}" if x == x1 else _curve(x, y, x1, y1, turned=False))
            x, y = x1, y1
        return "".join(parts)

    def _tip(self, end: Point) -> str:
        x, y = map(number, end)
        return f"M{x} {y}l-7-3.5v7z" if self._turned else f"M{x} {y}l-3.5-7h7z"

    def _node(self, placed: Placed) -> Iterator[str]:
        box, page = placed.box, self._page
        href = page.link(box) if page.link is not None else None
        shapes = "".join(self._shapes(placed))
        names = _classes(box) if page.only is None or box.words[page.only] else f"{_classes(box)} aside"
        opening = f'id="{attribute(page.id_prefix)}-{box.step.anchor}" class="{names}"'
        if box.is_focus:
            opening += ' aria-current="true"'
        title = f"<title>{text(describe(box))}</title>"
        if href is None:
            yield f'<g {opening} role="img">{title}{shapes}</g>'
        else:
            yield f'<a {opening} href="{reference(href)}">{title}{shapes}</a>'
        yield from self._open_ends(placed)
        if placed.inside is not None:
            x, y = placed.x + INSET, placed.y + head_height(box, self._size)
            yield moved("".join(self.picture(placed.inside)), x, y)
        if page.toggle is not None and (target := page.toggle(box)) is not None:
            yield self._toggle(placed, target)

    def _open_ends(self, placed: Placed) -> Iterator[str]:
        """A short open line on each side where the graph goes on beyond what is drawn."""
        along, across = (placed.width, placed.height) if self._turned else (placed.height, placed.width)
        for more, begin, length in ((placed.box.more_above, 0.0, -STUB), (placed.box.more_below, along, STUB)):
            if more:
                middle = round(across / 2, 1)
                x, y = (begin, middle) if self._turned else (middle, begin)
                x, y = placed.x + x, placed.y + y
                line = f"h{number(length)}" if self._turned else f"v{number(length)}"
                cx, cy = (x + length, y) if self._turned else (x, y + length)
                yield f'<path class="edge cut" d="M{number(x)} {number(y)}{line}"/>'
                yield f'<circle class="end" cx="{number(cx)}" cy="{number(cy)}" r="2.5"/>'

    def _shapes(self, placed: Placed) -> Iterator[str]:
        box = placed.box
        is_open = box.inside is not None
        back = 0.0 if is_open or not (box.is_fold or kind_glyph(box.step.kind) == "map") else _STACK
        if back:
            yield _rect("behind", placed.x + back, placed.y + back, placed.width - back, placed.height - back)
        yield _rect("area" if is_open else "box", placed.x, placed.y, placed.width - back, placed.height - back)
        glyph = state_glyph(box.foremost.status, box.foremost.state)
        if self._size is Size.SMALL:
            if not is_open:
                inset = 4 - back / 2
                yield self._glyph(glyph, placed.x + inset, placed.y + inset)
            return
        yield from self._words(placed, glyph)
        if box.is_fold and not is_open:
            yield from _shares(placed)

    def _words(self, placed: Placed, glyph: str) -> Iterator[str]:
        box, measures = placed.box, self._measures
        left, right = placed.x + measures.pad, placed.x + placed.width - measures.pad
        if self._page.toggle is not None and self._page.toggle(box) is not None:
            right -= 16
        small = measures.font - 1
        line = placed.y + (20 if self._size is Size.LARGE else 19)
        if box.is_fold:
            many = f"{TIMES} {len(box.steps):,}"
            yield f'<text class="many" x="{number(right)}" y="{number(line)}" text-anchor="end">{many}</text>'
            right -= text_width(many, small) + 5
        elif kind := kind_glyph(box.step.kind):
            yield self._glyph(kind, right - 11, line - 9.5, "kind")
            right -= 16
        if box.inside is not None:
            yield self._glyph(glyph, left, line - 10)
            left += 17
        name = shorten_middle(box.label, right - left, measures.font)
        yield f'<text class="name" x="{number(left)}" y="{number(line)}">{text(name)}</text>'
        if box.inside is not None:
            return
        if self._size is Size.LARGE:
            worker = shorten_middle(_worker(box), placed.width - 2 * measures.pad, small)
            yield f'<text class="say" x="{number(left)}" y="{number(line + 17)}">{text(worker)}</text>'
        line = placed.y + placed.height - (15 if box.is_fold else 12.5)
        yield self._glyph(glyph, left, line - 10)
        word = box.foremost.status
        room = placed.width - 2 * measures.pad - 17 - text_width(f"{word} ", small)
        remark = shorten_end(remark_of(box), room, small)
        yield (
            f'<text class="say" x="{number(left + 17)}" y="{number(line)}"><tspan class="word">{text(word)}</tspan>'
            f" {text(remark)}</text>"
        )

    def _glyph(self, name: str, x: float, y: float, role: str = "state") -> str:
        self.glyphs.add(name)
        sheet = f"{attribute(self._page.id_prefix)}-" if self._page.sprite is None else ""
        target = f"{reference(self._page.sprite) if self._page.sprite else ''}#{sheet}{name}"
        return (
            f'<use class="glyph {role}" href="{target}" x="{number(x)}" y="{number(y)}"'
            f' width="{number(_GLYPH)}" height="{number(_GLYPH)}"/>'
        )

    def _toggle(self, placed: Placed, href: str) -> str:
        is_open = placed.box.inside is not None
        x, y = placed.x + placed.width - 24, placed.y + 4
        if self._size is Size.SMALL:
            x, y = placed.x + placed.width - 12, placed.y - 8
        verb = "Close" if is_open else "Open"
        return (
            f'<a class="toggle" href="{reference(href)}"><title>{verb} {text(placed.box.label)}</title>'
            f'<rect class="hit" x="{number(x)}" y="{number(y)}" width="22" height="22" rx="4"/>'
            f"{self._glyph('close' if is_open else 'open', x + 5, y + 5)}</a>"
        )


def describe(box: Box) -> str:
    """What a box says in words: its name, its states, and why it is marked."""
    words = [f"{box.label} {TIMES} {len(box.steps):,}" if box.is_fold else box.step.name]
    if box.is_fold:
        words += [f"{count:,} {word} " for word in _WORDS if (count := box.words[word])]
        words.append(" and ".join(f"{count:,} {state}" for state, count in sorted(box.states.items())))
    else:
        words.append(f"{box.step.status} ({_plain(box.step.state)})")
        if box.step.remark:
            words.append(box.step.remark)
    if box.is_cause:
        words.append("root cause")
    elif box.on_path and not box.is_focus:
        words.append("on the blocked path")
    if box.more_above:
        words.append(f"{counted(box.more_above, 'parent')} not drawn")
    if box.more_below:
        words.append(f"{counted(box.more_below, 'child', 'children')} not drawn")
    return ", ".join(word.strip() for word in words)


def remark_of(box: Box) -> str:
    """What follows the operator's word."""
    if box.is_fold:
        count = box.words[box.foremost.status]
        return f"all {count:,}" if count == len(box.steps) else f"{count:,} of {len(box.steps):,}"
    return box.step.remark or _plain(box.step.state)


def _plain(state: str) -> str:
    return state.replace("_", " ")


def _worker(box: Box) -> str:
    step = box.step
    if step.worker is not None:
        return step.worker.rsplit(".", 1)[-1]
    return f"{step.kind} {step.child_id}" if step.child_id is not None else step.kind


def _classes(box: Box) -> str:
    foremost = box.foremost
    names = ["node", word_class(foremost.status)]
    if foremost.state in (StepState.DISCARDED, StepState.CANCELLED, StepState.EXPIRED):
        names.append("ended-badly")
    marks = {"is-focus": box.is_focus, "is-cause": box.is_cause, "on-path": box.on_path}
    return " ".join([*names, *(name for name, holds in marks.items() if holds)])


def _shares(placed: Placed) -> Iterator[str]:
    """A thin bar along the lower edge: how many steps have which word."""
    box = placed.box
    x, y, whole = placed.x + 11, placed.y + placed.height - 10, placed.width - 25
    for word in _WORDS:
        width = whole * box.words[word] / len(box.steps)
        if width:
            extent = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="3"'
            yield f'<rect class="share {word_class(word)}" {extent}/>'
            x += width


def _rect(name: str, x: float, y: float, width: float, height: float) -> str:
    extent = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f'<rect class="{name}" {extent} rx="5"/>'


def _curve(x: float, y: float, x1: float, y1: float, *, turned: bool) -> str:
    if turned:
        half = number((x + x1) / 2)
        return f"C{half} {number(y)} {half} {number(y1)} {number(x1)} {number(y1)}"
    half = number((y + y1) / 2)
    return f"C{number(x)} {half} {number(x1)} {half} {number(x1)} {number(y1)}"
