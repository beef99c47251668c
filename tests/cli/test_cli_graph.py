"""The picture of a workflow from the command line: into a file or to stdout, whole or around a step."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from oban_powertools import Workflow
from tests.support.by_hand import Hand, Scripted, chain, step
from tests.support.command import Ended, powertools

SVG = "{http://www.w3.org/2000/svg}"


def draw(hand: Hand, workflow_id: int, *options: str) -> Ended:
    return powertools("workflow", "graph", str(workflow_id), "--svg", "-", *options, dsn=hand.dsn)


def titles(drawing: str) -> list[str]:
    """What the boxes say of themselves."""
    nodes = [e for e in ElementTree.fromstring(drawing.encode()).iter() if "node" in e.get("class", "").split()]
    return [node.findtext(f"{SVG}title", "") for node in nodes]


def fan() -> Workflow:
    workflow = Workflow("fan")
    first = workflow.add("first", step())
    middle = [workflow.add(f"part_{n}", step(), deps=[first]) for n in range(5)]
    workflow.add("last", step(), deps=middle)
    return workflow


async def test_a_picture_is_written_into_a_file(hand: Hand, tmp_path: Path) -> None:
    workflow_id = await hand.insert(chain(3))

    ended = powertools("workflow", "graph", str(workflow_id), "--svg", "g.svg", dsn=hand.dsn, cwd=tmp_path)

    assert (ended.code, ended.out, ended.err) == (0, "", "drawn into g.svg\n")
    drawing = (tmp_path / "g.svg").read_text()
    assert titles(drawing) == ["s0, Blocked (available)", "s1, Blocked (pending)", "s2, Blocked (pending)"]


async def test_a_picture_to_stdout_is_the_document_and_nothing_else(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    ended = draw(hand, workflow_id)

    assert (ended.code, ended.err) == (0, "")
    root = ElementTree.fromstring(ended.out.encode())
    assert root.findtext(f"{SVG}title") == f"chain {workflow_id}"
    assert root.findtext(f"{SVG}desc") == "2 steps: 2 Blocked"


async def test_a_picture_as_json_says_its_format(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    answer = draw(hand, workflow_id, "--json").json

    assert (answer["workflow_id"], answer["format"]) == (str(workflow_id), "svg")
    assert titles(answer["graph"]) == ["s0, Blocked (available)"]


async def test_equal_siblings_are_one_box_unless_told_otherwise(hand: Hand) -> None:
    workflow_id = await hand.insert(fan())

    folded, single = draw(hand, workflow_id), draw(hand, workflow_id, "--no-fold")

    assert len(titles(folded.out)) == 3
    assert titles(folded.out)[1] == "part \u00d7 5, 5 Blocked, 5 pending"
    assert len(titles(single.out)) == 7


async def test_a_fold_opens_by_the_name_of_one_of_its_steps(hand: Hand) -> None:
    workflow_id = await hand.insert(fan())

    ended = draw(hand, workflow_id, "--open", "part_3")

    assert len(titles(ended.out)) == 8


async def test_a_nested_workflow_opens_in_place(hand: Hand) -> None:
    workflow = Workflow("outer")
    workflow.add_workflow("inner", chain(2))
    workflow_id = await hand.insert(workflow)

    closed, opened = draw(hand, workflow_id), draw(hand, workflow_id, "--open", "inner")

    assert [title.split(",")[0] for title in titles(closed.out)] == ["inner"]
    assert [title.split(",")[0] for title in titles(opened.out)] == ["inner", "s0", "s1"]


async def test_a_focus_shows_its_neighbourhood_and_its_root_causes(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(6))

    ended = draw(hand, workflow_id, "--focus", "s3", "--up", "3", "--down", "1")

    assert titles(ended.out) == [
        "s0, Blocked (available), root cause",
        "s1, Blocked (pending), on the blocked path",
        "s2, Blocked (pending), on the blocked path",
        "s3, Blocked (pending)",
        "s4, Blocked (pending), 1 child not drawn",
    ]
    assert "1 step not shown" in ended.out


async def test_what_finished_can_be_hidden(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    await hand.run(workflow_id, {"s0": Scripted})

    assert len(titles(draw(hand, workflow_id, "--hide-finished").out)) < 3


async def test_size_and_direction_change_the_picture(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(4))

    extents = {
        options: tuple(
            map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', draw(hand, workflow_id, *options).out)[0])
        )
        for options in (("--size", "s"), ("--size", "l"), ("--direction", "lr"), ("--direction", "tb"))
    }

    assert extents["--size", "s"][1] < extents["--size", "l"][1]
    assert extents["--direction", "lr"][0] > extents["--direction", "tb"][0]


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--focus", "s0"], 2, "--focus needs --svg FILE"),
        (["--no-fold"], 2, "--fold needs --svg FILE"),
        (["--svg", "-", "--up", "1"], 2, "--up and --down need --focus STEP"),
        (["--svg", "-", "--focus", "s0", "--up", "-1"], 2, "-1 is not in the range"),
        (["--svg", "/no/such/place.svg"], 2, "it cannot be written"),
        (["--svg", "-", "--focus", "nope"], 3, "nope"),
        (["--svg", "-", "--open", "nope"], 3, "nope"),
    ],
)
async def test_what_cannot_be_drawn_is_refused(hand: Hand, options: list[str], code: int, sentence: str) -> None:
    workflow_id = await hand.insert(chain(2))

    ended = powertools("workflow", "graph", str(workflow_id), *options, dsn=hand.dsn)

    assert (ended.code, ended.out) == (code, "")
    assert sentence in ended.err


def test_importing_the_package_loads_nothing_of_the_drawing() -> None:
    code = "import oban_powertools, sys; print([m for m in sys.modules if 'graph' in m and 'powertools.graph' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
