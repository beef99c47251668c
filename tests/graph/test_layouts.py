"""Layouts that are kept are those that ``lay_out`` would return."""

from random import Random

from oban_powertools.graph.flow import lay_out
from oban_powertools.graph.layouts import LEAST_BOXES, Layouts
from oban_powertools.graph.place import MEASURES, Size

SPACING = MEASURES[Size.SMALL].spacing
BOXES = LEAST_BOXES + 20


def graph(seed: int, boxes: int = BOXES) -> tuple[list[tuple[float, float]], list[list[int]]]:
    """Sizes and parents of a graph at random."""
    random = Random(seed)
    parents = [sorted(random.sample(range(n), min(n, random.choice((1, 1, 2))))) for n in range(boxes)]
    return [(20.0, 20.0)] * boxes, parents


def test_what_is_kept_is_what_would_be_laid_out_anew() -> None:
    layouts = Layouts()

    for seed in (*range(5), *range(5)):
        sizes, parents = graph(seed)
        assert layouts.lay_out(sizes, parents, SPACING) == lay_out(sizes, parents, SPACING)


def test_the_same_graph_is_laid_out_once() -> None:
    layouts = Layouts()
    sizes, parents = graph(1)

    assert layouts.lay_out(sizes, parents, SPACING) is layouts.lay_out(
        list(sizes), [list(of) for of in parents], SPACING
    )


def test_whatever_a_layout_depends_on_makes_another_one() -> None:
    layouts = Layouts()
    sizes, parents = graph(1)
    edge = (parents[-1][0], BOXES - 1)
    first = layouts.lay_out(sizes, parents, SPACING)

    others = [
        layouts.lay_out([(30.0, 20.0), *sizes[1:]], parents, SPACING),
        layouts.lay_out(sizes, [*parents[:-1], []], SPACING),
        layouts.lay_out(sizes, parents, MEASURES[Size.LARGE].spacing),
        layouts.lay_out(sizes, parents, SPACING, dashed={edge}),
        layouts.lay_out(sizes, parents, SPACING, wanted={edge}),
    ]

    assert all(other is not first for other in others)
    assert list(others[-1].whole) == [edge]


def test_the_oldest_makes_room_and_what_was_used_last_stays() -> None:
    layouts = Layouts(most_boxes=2 * BOXES)
    one, two, three = (graph(seed) for seed in range(3))
    kept = [layouts.lay_out(*each, SPACING) for each in (one, two)]
    assert layouts.lay_out(*one, SPACING) is kept[0]

    layouts.lay_out(*three, SPACING)

    assert layouts.lay_out(*one, SPACING) is kept[0]
    assert layouts.lay_out(*two, SPACING) is not kept[1]


def test_a_graph_that_is_larger_than_all_that_is_kept_is_laid_out_too() -> None:
    layouts = Layouts(most_boxes=BOXES - 1)
    sizes, parents = graph(1)

    assert layouts.lay_out(sizes, parents, SPACING) == lay_out(sizes, parents, SPACING)
