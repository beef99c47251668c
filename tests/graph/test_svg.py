"""The drawing as a document: well formed, nothing inline, readable without colours, and names are text in it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.graph.alone import draw_alone
from oban_powertools.graph.glyphs import GLYPHS, state_glyph
from oban_powertools.graph.place import Direction, Picture, Size, place
from oban_powertools.graph.steps import Step
from oban_powertools.graph.stylesheet import stylesheet
from oban_powertools.graph.svg import Surroundings, describe, draw
from oban_powertools.graph.text_width import shorten_middle, text_width
from oban_powertools.graph.view import Box, Choice, choose
from oban_powertools.states import OperatorStatus, StepKind, StepState
from tests.support.random_drawings import a_step, workflows

SVG = "{http://www.w3.org/2000/svg}"
PAYLOADS = (
    "</text><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<style>*{display:none}</style>",
    "]]><svg onload=alert(1)>",
    "&lt;b&gt; &amp; '\"",
    "\x00\x1b[31m\u202e\ud800\ufffe",
)
ELEMENTS = {
    "svg",
    "title",
    "desc",
    "defs",
    "symbol",
    "style",
    "g",
    "a",
    "path",
    "rect",
    "circle",
    "text",
    "tspan",
    "use",
}


def a_page(**fields: object) -> Surroundings:
    return replace(Surroundings(title="nightly 41", description="3 of 7 steps have finished."), **fields)


def parsed(document: str) -> ElementTree.Element:
    return ElementTree.fromstring(document)


def elements(document: str) -> Iterator[tuple[str, ElementTree.Element]]:
    return ((element.tag.removeprefix(SVG), element) for element in parsed(document).iter())


def the_picture(steps: list[Step], **choice: object) -> Picture:
    return place(choose(steps, replace(Choice(), **choice)))


@given(
    st.lists(st.text(st.characters(), max_size=40) | st.sampled_from(PAYLOADS), min_size=1, max_size=5),
    st.sampled_from(Size),
)
def test_names_are_text_whatever_they_hold(names: list[str], size: Size) -> None:
    steps = [
        a_step(n, [n - 1] if n else [], name=name, worker=name, remark=name, state=name) for n, name in enumerate(names)
    ]
    picture = place(choose(steps, Choice()), size=size)

    document = draw_alone(picture, a_page(title=names[0], description=names[-1]))

    assert {tag for tag, _ in elements(document)} <= ELEMENTS
    texts = [element for tag, element in elements(document) if tag == "title"]
    assert len(texts) == 1 + len(names)


@given(workflows(), st.sampled_from(Size), st.sampled_from(Direction))
def test_nothing_is_inline(steps: list[Step], size: Size, direction: Direction) -> None:
    picture = place(choose(steps, Choice()), size=size, direction=direction)

    document = draw(picture, a_page(link=lambda box: f"?step={box.step.position}", toggle=lambda box: "?open=1"))

    tags = [tag for tag, _ in elements(document)]
    attributes = {name for _, element in elements(document) for name in element.attrib}
    assert "style" not in tags
    assert "script" not in tags
    assert [name for name in attributes if name == "style" or name.startswith("on")] == []


@pytest.mark.parametrize("href", ["javascript:alert(1)", "data:text/html,x", "\tjavascript:alert(1)", "//evil\n", ""])
def test_a_link_that_could_run_code_is_refused(href: str) -> None:
    with pytest.raises(ValueError, match="a link leads to"):
        draw(the_picture([a_step(0)]), a_page(link=lambda _: href))


def test_each_box_is_a_link_where_links_are_given() -> None:
    document = draw(the_picture([a_step(0), a_step(1, [0])]), a_page(link=lambda box: f"?step={box.step.name}&x=1"))

    assert [e.get("href") for tag, e in elements(document) if tag == "a"] == ["?step=step_0&x=1", "?step=step_1&x=1"]


def test_links_follow_the_flow() -> None:
    steps = [a_step(0, [2]), a_step(1, [0]), a_step(2)]

    document = draw(the_picture(steps), a_page(link=lambda box: f"?{box.step.name}"))

    assert [e.get("href") for tag, e in elements(document) if tag == "a"] == ["?step_2", "?step_0", "?step_1"]


def test_a_drawing_has_a_title_and_a_description() -> None:
    root = parsed(draw(the_picture([a_step(0)]), a_page(id_prefix="g7")))

    assert root.get("aria-labelledby") == "g7-title"
    assert root.get("aria-describedby") == "g7-desc"
    assert root.findtext(f"{SVG}title") == "nightly 41"
    assert root.findtext(f"{SVG}desc") == "3 of 7 steps have finished."


def test_each_box_says_name_state_and_mark_in_words() -> None:
    steps = [a_step(0, state=StepState.AVAILABLE, status=OperatorStatus.BLOCKED), a_step(1, [0])]

    document = draw(the_picture(steps, focus="1/step_1", causes=frozenset({"1/step_0"})), a_page())

    titles = [e.findtext(f"{SVG}title") for tag, e in elements(document) if "node" in e.get("class", "")]
    assert titles == ["step_0, Blocked (available), root cause", "step_1, Waiting (pending)"]


def test_a_fold_says_all_its_counts() -> None:
    steps = [a_step(n) for n in range(5)]
    steps[0] = replace(steps[0], status=OperatorStatus.FINISHED, state=StepState.COMPLETED)

    [box] = choose(steps, Choice()).boxes

    assert describe(box) == "step \u00d7 5, 4 Waiting, 1 Finished, 1 completed and 4 pending"


def test_every_word_and_state_has_a_glyph_of_its_own_shape() -> None:
    glyphs = {
        state_glyph(OperatorStatus.NEEDS_REVIEW, StepState.DISCARDED),
        state_glyph(OperatorStatus.BLOCKED, StepState.PENDING),
        state_glyph(OperatorStatus.RUNNABLE, StepState.AVAILABLE),
        state_glyph(OperatorStatus.RUNNING, StepState.EXECUTING),
        *(state_glyph(OperatorStatus.WAITING, state) for state in StepState if not state.terminal),
        *(state_glyph(OperatorStatus.FINISHED, state) for state in StepState if state.terminal),
    }

    assert len(glyphs) == 13
    assert glyphs <= set(GLYPHS)
    assert len(set(GLYPHS.values())) == len(GLYPHS)


@pytest.mark.parametrize("state", ["", "a_state_of_tomorrow"])
def test_an_unknown_state_has_a_glyph(state: str) -> None:
    assert {state_glyph(word, state) for word in OperatorStatus} <= set(GLYPHS)


def test_every_glyph_in_use_is_in_the_drawing_or_in_the_sprite() -> None:
    picture = the_picture([a_step(0, kind=StepKind.SIGNAL, worker=None)])

    own, foreign = draw(picture, a_page()), draw(picture, a_page(sprite="/static/icons.svg"))

    defined = {e.get("id") for tag, e in elements(own) if tag == "symbol"}
    used = {str(e.get("href")).removeprefix("#") for tag, e in elements(own) if tag == "use"}
    assert used == defined
    assert {e.get("href") for tag, e in elements(foreign) if tag == "use"} == {
        "/static/icons.svg#pending",
        "/static/icons.svg#signal",
    }


def test_a_file_brings_its_colours_and_a_page_does_not() -> None:
    picture = the_picture([a_step(0)])

    assert [tag for tag, _ in elements(draw_alone(picture, a_page()))].count("style") == 1
    assert "<style>" not in draw(picture, a_page())


def test_every_colour_is_defined_for_both_themes() -> None:
    css = stylesheet()
    light, dark = css.split("prefers-color-scheme: dark")

    used = {name for name in re.findall(r"var\((--[\w-]+)\)", css) if name != "--font"}
    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert used <= set(re.findall(r"(--[\w-]+):", dark.split("@media print")[0]))


@given(st.text(max_size=60), st.floats(20, 300))
def test_a_shortened_text_fits(text: str, width: float) -> None:
    assert text_width(shorten_middle(text, width, 12), 12) <= width


def test_a_name_that_is_too_long_keeps_its_end() -> None:
    steps = [a_step(0, name=f"{'a' * 60}_0017")]

    document = draw(the_picture(steps), a_page())

    [name] = [e.text for tag, e in elements(document) if e.get("class") == "name"]
    assert name is not None
    assert name.endswith("_0017")
    assert "\u2026" in name


@pytest.mark.parametrize("size", Size)
def test_a_box_that_can_be_opened_has_a_sign_for_it(size: Size) -> None:
    def toggle(box: Box) -> str | None:
        return "?open=1" if box.is_fold else None

    picture = place(choose([a_step(n) for n in range(9)], Choice()), size=size)

    document = draw(picture, a_page(toggle=toggle))

    [sign] = [e for tag, e in elements(document) if e.get("class") == "toggle"]
    assert sign.findtext(f"{SVG}title") == "Open step"


@pytest.mark.parametrize("direction", Direction)
def test_a_box_whose_graph_goes_on_beyond_what_is_drawn_has_an_open_line_and_says_so(direction: Direction) -> None:
    steps = [a_step(0), a_step(1, [0]), a_step(2, [1])]
    graph = choose(steps, Choice(focus="1/step_1", up=0, down=0))

    document = draw(place(graph, direction=direction), a_page())

    assert [element.get("class") for tag, element in elements(document)].count("end") == 2
    assert describe(graph.boxes[0]).endswith("1 parent not drawn, 1 child not drawn")


def test_boxes_without_the_word_that_is_looked_for_stand_back() -> None:
    steps = [a_step(0, status=OperatorStatus.BLOCKED), a_step(1, [0], status=OperatorStatus.WAITING)]

    document = draw(place(choose(steps, Choice())), a_page(only=OperatorStatus.BLOCKED))

    nodes = [element.get("class") for _, element in elements(document) if "node" in str(element.get("class"))]
    assert ["aside" in str(names).split() for names in nodes] == [False, True]
