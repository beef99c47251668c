"""Graphs as text: of definitions and of stored workflows, whatever the names hold."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oban_powertools import Powertools, Workflow
from oban_powertools.errors import WorkflowNotFoundError
from oban_powertools.states import StepKind, StepState, WorkflowId
from oban_powertools.workflows.drawing import Node, dot, mermaid
from tests.support.by_hand import Hand, Scripted, step

MERMAID_LINE = re.compile(
    r"flowchart LR"
    r'|  n\d+(?:\[|\{\{|\[\[|\[/)"(?:[^\W_]|[ /_○●◷▶↻‖◇✔✘⊘⧖?-]|<br/>|#\d+;)+"(?:\]|\}\}|\]\]|/\])(?::::\w+)?'
    r"|  n\d+ (?:-->|-\.->) n\d+|  classDef \w+ fill:#\w{6},stroke:#\w{6},color:#\w{6}"
)
DOT_QUOTED = r'"(?:[^"\\\n]|\\["\\n])*"'
DOT_ATTRIBUTES = rf"\w+=(?:\w+|{DOT_QUOTED})(?:, \w+=(?:\w+|{DOT_QUOTED}))*"
DOT_LINE = re.compile(
    rf"digraph workflow \{{|\}}|  rankdir=LR;|  node \[{DOT_ATTRIBUTES}\];"
    rf"|  n\d+ \[{DOT_ATTRIBUTES}\];|  n\d+ -> n\d+(?: \[style=dashed\])?;"
)

names = st.text(st.characters(), max_size=30)
nodes = st.lists(
    st.builds(
        Node,
        name=names,
        parents=st.just({}),
        state=st.none() | st.sampled_from(StepState) | names,
        attempt=st.integers(0, 20),
        kind=st.sampled_from(StepKind) | names,
        child_id=st.none() | st.integers(1),
    ),
    max_size=4,
)


def diamond() -> Workflow:
    workflow = Workflow("diamond")
    root = workflow.add("fetch", step())
    workflow.add("left", step(), deps=[root])
    workflow.add("right", step({"of": root.result}))
    workflow.add("join", step(), deps={"left": "cancel", "right": "continue"})
    return workflow


def test_a_definition_is_drawn_with_its_explicit_and_implied_edges() -> None:
    drawn = diamond().to_mermaid()

    assert drawn == (
        "flowchart LR\n"
        '  n0["fetch"]\n'
        '  n1["left"]\n'
        '  n2["right"]\n'
        '  n3["join"]\n'
        "  n0 --> n1\n"
        "  n0 --> n2\n"
        "  n1 --> n3\n"
        "  n2 -.-> n3\n"
    )


def test_dot_draws_the_same_edges() -> None:
    drawn = diamond().to_dot()

    assert re.findall(r"n\d+ -> .*", drawn) == ["n0 -> n1;", "n0 -> n2;", "n1 -> n3;", "n2 -> n3 [style=dashed];"]


def test_a_reference_takes_the_policy_that_was_given_for_its_edge() -> None:
    workflow = Workflow("w")
    first = workflow.add("first", step())
    workflow.add("second", step({"of": first.result}), deps={"first": "continue"})

    assert "n0 -.-> n1" in workflow.to_mermaid()


def test_a_faulty_definition_is_drawn_without_what_does_not_exist() -> None:
    workflow = Workflow("w")
    workflow.add("a", step({"of": Workflow.result("nowhere")}), deps=["missing", "b"])
    workflow.add("b", step(), deps=["a", "b"])

    assert re.findall(r"n\d+ --> n\d+", workflow.to_mermaid()) == ["n1 --> n0", "n0 --> n1", "n1 --> n1"]


async def test_a_stored_workflow_is_drawn_with_the_states_of_its_steps(hand: Hand) -> None:
    workflow_id = await hand.insert(diamond())
    await hand.run(workflow_id, {"fetch": {"id": 1}})
    await hand.start((await hand.job(workflow_id, "left")).id)

    drawn = await hand.workflows.to_mermaid(workflow_id)

    assert re.findall(r'\["(.*)"\]:::(\w+)', drawn) == [
        ("✔ fetch<br/>completed", "completed"),
        ("▶ left<br/>executing", "executing"),
        ("● right<br/>available", "available"),
        ("○ join<br/>pending", "pending"),
    ]
    assert "n2 -.-> n3" in drawn


def kinds() -> Workflow:
    """A wait, a nested workflow and a map."""
    inner = Workflow("inner")
    inner.add("deep", step())
    workflow = Workflow("kinds")
    workflow.await_signal("wait", signal="approved", correlation_key="7")
    workflow.add_workflow("nested", inner)
    workflow.map("each", Scripted, over=[1], deps="wait")
    return workflow


def test_what_a_step_runs_on_shows_in_the_shape_of_a_definition() -> None:
    drawn = kinds().to_mermaid()

    assert re.findall(r"  n\d(\W.*\W)$", drawn, re.MULTILINE)[:3] == [
        '{{"wait<br/>signal"}}',
        '[["nested<br/>workflow"]]',
        '[/"each<br/>map"/]',
    ]
    assert "shape=hexagon" in kinds().to_dot()


async def test_what_a_step_runs_on_shows_in_a_stored_workflow_with_the_id_of_what_it_runs(hand: Hand) -> None:
    workflow_id = await hand.insert(kinds())
    child_id = (await hand.steps(workflow_id))["nested"].child_id

    drawn = await hand.workflows.to_mermaid(workflow_id)

    assert re.findall(r'"(.*)"\W+\w+', drawn) == [
        "◇ wait<br/>awaiting signal<br/>signal",
        f"▶ nested<br/>executing<br/>workflow {child_id}",
        "○ each<br/>pending<br/>map",
    ]


async def test_a_stored_workflow_is_drawn_the_same_way_twice(hand: Hand) -> None:
    workflow_id = await hand.insert(diamond())

    assert await hand.workflows.to_dot(workflow_id) == await hand.workflows.to_dot(workflow_id)


async def test_drawing_a_workflow_that_does_not_exist_says_so(powertools: Powertools) -> None:
    with pytest.raises(WorkflowNotFoundError):
        await powertools.workflows.to_mermaid(WorkflowId(404))
    with pytest.raises(WorkflowNotFoundError):
        await powertools.workflows.to_dot(WorkflowId(404))


def test_every_state_has_a_glyph_of_its_own() -> None:
    drawn = mermaid([Node(name="x", parents={}, state=state) for state in StepState])

    assert len(set(re.findall(r'\["(.) x', drawn))) == len(StepState)


def test_an_unknown_state_is_shown_verbatim() -> None:
    drawn = mermaid([Node(name="x", parents={}, state="haunted")])

    assert '["? x<br/>haunted"]:::unknown' in drawn


def test_the_attempt_is_shown_from_the_second_on() -> None:
    drawn = dot([Node(name="x", parents={}, state="retryable", attempt=n) for n in (1, 2)])

    assert re.findall(r'label="(.*?)"', drawn) == [r"↻ x\nretryable", r"↻ x\nretryable, attempt 2"]


@given(nodes)
@example([Node(name='say "hi" [1] --> n0', parents={}), Node(name="", parents={}), Node(name="\n\t", parents={})])
@example([Node(name="style:#1;", parents={}), Node(name="classDef a fill:#fff;", parents={}, state="#\0;")])
@example([Node(name="`md` **b** __init__ 1. x www.a.b <b>&lt;", parents={}, state="end")])
def test_mermaid_is_well_formed_whatever_the_names_hold(nodes: list[Node]) -> None:
    lines = mermaid(nodes).removesuffix("\n").split("\n")

    assert [line for line in lines if not MERMAID_LINE.fullmatch(line)] == []


@given(nodes)
@example([Node(name='say "hi" \\', parents={}), Node(name="\\N\\", parents={}), Node(name="\r\n", parents={})])
def test_dot_is_well_formed_whatever_the_names_hold(nodes: list[Node]) -> None:
    lines = dot(nodes).removesuffix("\n").split("\n")

    assert [line for line in lines if not DOT_LINE.fullmatch(line)] == []


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_a_name_is_read_back_as_it_was(name: str) -> None:
    [in_mermaid] = re.findall(r'\["(.*)"\]', mermaid([Node(name=name, parents={})]))
    [in_dot] = re.findall(r'n0 \[label="(.*)"\];', dot([Node(name=name, parents={})]))

    assert re.sub(r"#(\d+);", lambda code: chr(int(code[1])), in_mermaid) == name
    assert re.sub(r"\\(.)", r"\1", in_dot).replace("&amp;", "&") == name


def test_ten_thousand_edges_are_drawn_at_once() -> None:
    wide = [Node(name=f"p{n}", parents={}) for n in range(10_000)]
    join = Node(name="join", parents=dict.fromkeys(range(10_000), "cancel"))

    drawn = mermaid([*wide, join])

    assert drawn.count(" --> n10000\n") == 10_000
