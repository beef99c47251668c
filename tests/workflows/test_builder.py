"""Graphs of definitions and their faults: everything is looked for before anything is written."""

import time
from typing import Any

import orjson
import pytest

from oban_powertools import Workflow
from oban_powertools.errors import InvalidWorkflowError
from tests.support.by_hand import step
from tests.support.definitions import codes, faults, plan, small


def test_a_diamond_has_its_positions_in_the_order_of_adding_and_depths_along_its_paths() -> None:
    workflow = Workflow("diamond")
    top = workflow.add("top", step())
    left, right = workflow.add_many({"left": step(), "right": step()}, deps=[top])
    workflow.add("bottom", step(), deps=[left, right])

    steps = plan(workflow)

    assert [(s.name, s.position, s.depth, s.pending) for s in steps.values()] == [
        ("top", 0, 0, 0),
        ("left", 1, 1, 1),
        ("right", 2, 1, 1),
        ("bottom", 3, 2, 2),
    ]
    assert (steps["top"].children, steps["bottom"].parents) == ([1, 2], [1, 2])


def test_a_dependency_may_be_added_after_the_step_that_names_it() -> None:
    workflow = Workflow("backwards")
    workflow.add("last", step(), deps="first")
    workflow.add("first", step())

    assert [(s.name, s.depth) for s in plan(workflow).values()] == [("last", 1), ("first", 0)]


def test_each_edge_takes_its_own_policy_or_that_of_its_step() -> None:
    workflow = Workflow("policies")
    a, b, c = workflow.add_many({"a": step(), "b": step(), "c": step()})
    workflow.add("mapped", step(), deps={a: "continue", b: "cancel"}, on_failure="continue")
    workflow.add("listed", step({"refer": c.result}), deps=["a"], on_failure="continue")
    workflow.add("connected", step())
    workflow.connect(a, "connected", policy="continue")
    workflow.connect("b", "connected")

    steps = plan(workflow)

    edges = {name: (s.parents, s.continue_parents) for name, s in steps.items() if s.pending}
    assert edges == {"mapped": ([1], [0]), "listed": ([], [0, 2]), "connected": ([1], [0])}


def test_the_same_edge_twice_is_one_edge() -> None:
    workflow = Workflow("twice")
    a = workflow.add("a", step())
    b = workflow.add("b", step({"x": a.result, "y": a.result["z"]}), deps=[a, "a"])
    workflow.connect(a, b)

    assert plan(workflow)["b"].parents == [0]


def test_the_same_edge_with_two_policies_is_a_fault() -> None:
    workflow = Workflow("torn")
    workflow.add("a", step())
    workflow.add("b", step(), deps={"a": "continue"})
    workflow.connect("a", "b", policy="cancel")

    assert codes(workflow) == [("conflicting_edges", "b", "deps")]


def test_connecting_a_step_that_was_not_added_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="has no step 'b'"):
        Workflow("early").connect("a", "b")


def test_connecting_to_a_handle_of_another_workflow_is_refused_at_once() -> None:
    workflow, foreign = Workflow("mine"), Workflow("other").add("b", step())
    workflow.add_many({"a": step(), "b": step()})

    with pytest.raises(ValueError, match="'b' belongs to another workflow than 'mine'"):
        workflow.connect("a", foreign)


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_a_workflow_needs_a_name(name: Any) -> None:
    workflow = Workflow(name)
    workflow.add("a", step())

    assert codes(workflow) == [("workflow_name_required", None, None)]


@pytest.mark.parametrize("name", ["", " ", None, 7])
def test_a_step_needs_a_name(name: Any) -> None:
    workflow = Workflow("nameless")
    workflow.add(name, step())

    assert codes(workflow) == [("step_name_required", None, None)]


def test_a_name_is_at_most_200_characters_that_can_be_stored() -> None:
    workflow = Workflow("w" * 201)
    workflow.add("s" * 201, step())
    workflow.add("nul\0", step())

    assert codes(workflow) == [
        ("name_too_long", None, "name"),
        ("name_too_long", "s" * 201, "name"),
        ("non_serializable", "nul\0", "name"),
    ]


def test_an_idempotency_key_is_text_of_at_most_200_characters() -> None:
    assert codes(small(idempotency_key="k" * 201)) == [("name_too_long", None, "idempotency_key")]
    assert codes(small(idempotency_key=7)) == [("not_text", None, "idempotency_key")]
    assert codes(small(idempotency_key="")) == [("empty_text", None, "idempotency_key")]


def test_tags_and_the_version_are_text() -> None:
    assert codes(small(tags=["fine", 7, None])) == [("not_text", None, "tags[1]"), ("not_text", None, "tags[2]")]
    assert codes(small(definition_version=2)) == [("not_text", None, "definition_version")]


def test_a_workflow_without_steps_would_never_end_and_is_refused() -> None:
    assert codes(Workflow("empty")) == [("no_steps", None, None)]


def test_a_duplicate_step_name_is_told_where_it_is_added_with_the_line_of_the_first() -> None:
    workflow = Workflow("twins")
    workflow.add("twin", step())

    with pytest.raises(
        InvalidWorkflowError, match=r"a step of this name was added at .*test_builder\.py:\d+"
    ) as caught:
        workflow.add("twin", step())

    assert [(fault.code, fault.step) for fault in caught.value.faults] == [("duplicate_step_name", "twin")]


def test_a_missing_dependency_shows_from_to_and_policy() -> None:
    workflow = Workflow("gap")
    workflow.add("b", step(), deps={"a": "continue"})

    [fault] = faults(workflow)

    assert (fault.code, fault.step, fault.path) == ("missing_dependency", "b", "deps")
    assert fault.message == "from 'a' to 'b' (continue): no step has that name"


def test_a_handle_of_another_workflow_is_no_dependency_and_no_reference() -> None:
    foreign = Workflow("other").add("a", step())
    workflow = Workflow("mine")
    workflow.add("a", step())
    workflow.add("b", step(), deps=[foreign])
    workflow.add("c", step({"x": foreign.result}))

    assert codes(workflow) == [("missing_dependency", "b", "deps"), ("unknown_reference", "c", "args")]


def test_a_self_loop_is_refused() -> None:
    workflow = Workflow("loop")
    workflow.add("a", step(), deps="a")

    assert codes(workflow) == [("self_loop", "a", "deps")]


def test_a_cycle_is_printed_along_its_edges() -> None:
    workflow = Workflow("cycle")
    workflow.add("before", step())
    workflow.add("a", step(), deps=["before", "c"])
    workflow.add("b", step(), deps="a")
    workflow.add("c", step(), deps="b")

    [fault] = faults(workflow)

    assert fault.code == "cycle_detected"
    assert fault.message in {
        f"the steps depend on each other: {' -> '.join(path)}" for path in ("abca", "bcab", "cabc")
    }


def test_a_reference_against_the_edges_is_not_to_an_ancestor() -> None:
    workflow = Workflow("ahead")
    workflow.add("a", step({"x": Workflow.result("b")}))
    workflow.add("b", step(), deps="a")
    workflow.add("self", step({"x": Workflow.result("self")}))
    workflow.add("lost", step({"x": Workflow.result("nowhere")}))

    assert sorted(codes(workflow)) == [
        ("non_ancestor_reference", "a", "args"),
        ("non_ancestor_reference", "self", "args"),
        ("unknown_reference", "lost", "args"),
    ]


def test_a_reference_implies_the_dependency() -> None:
    workflow = Workflow("implied")
    a = workflow.add("a", step())
    workflow.add("b", step({"of": [a.result["x"][0], a.error]}))

    planned = plan(workflow)["b"]

    assert planned.parents == [0]
    assert planned.args is None
    assert planned.template is not None
    parts = orjson.loads(planned.template)
    assert parts == ['{"of":[', [0, "result", ["x", "0"]], ",", [0, "error", []], "]}"]


@pytest.mark.parametrize("misuse", [str, "{}".format, list, lambda r: f"{r}", lambda r: r[1.5], lambda r: r[True]])
def test_a_reference_used_as_text_list_or_with_a_wrong_key_says_so_at_once(misuse: Any) -> None:
    reference = Workflow("misuse").add("a", step()).result

    with pytest.raises(TypeError, match="reference"):
        misuse(reference)


@pytest.mark.parametrize("key", ["nul\0", "\ud800"])
def test_a_reference_path_that_cannot_be_stored_is_a_fault(key: str) -> None:
    workflow = Workflow("path")
    a = workflow.add("a", step())
    workflow.add("b", step({"x": a.result[key]}))

    assert codes(workflow) == [("non_serializable", "b", "args[0]")]


def test_all_faults_are_reported_at_once_each_with_its_place() -> None:
    workflow = Workflow("")
    workflow.add("a", step({"at": [float("nan")]}), deps=["a", "nowhere"])

    with pytest.raises(InvalidWorkflowError) as caught:
        plan(workflow)

    assert {fault.code for fault in caught.value.faults} == {
        "workflow_name_required",
        "non_serializable",
        "self_loop",
        "missing_dependency",
    }
    assert "a.args.at[0]: nan is not a JSON number [non_serializable]" in str(caught.value)
    assert str(caught.value).startswith("workflow '' has 4 fault(s), nothing was written:")


def test_100_000_steps_with_references_compile_in_seconds() -> None:
    workflow = Workflow("vast")
    last = workflow.add("s0", step())
    for number in range(1, 100_000):
        last = workflow.add(f"s{number}", step({"n": number, "last": last.result}))
    started = time.process_time()

    steps = plan(workflow)

    assert steps["s99999"].depth == 99_999
    assert time.process_time() - started < 15
