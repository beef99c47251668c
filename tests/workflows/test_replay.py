"""Recorded production workflows, replayed by worker processes; and the refusal of what is none."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.replay import find_faults
from bench.replay_task import Entry
from bench.wfformat import MalformedError, Recording, read

SCRIPT = Path(__file__).parents[2] / "bench" / "replay.py"
SHARED = SCRIPT.parents[2] / "shared" / "data" / "wfinstances"

Document = dict[str, Any]
Edit = Callable[[Document], Any]

# fetch -> (align, count) -> report
EDGES = {"fetch": ["align", "count"], "align": ["report"], "count": ["report"], "report": []}


def test_a_recorded_workflow_runs_as_recorded(tmp_path: Path, dsn: str) -> None:
    file = _write(tmp_path, _document())

    run = _replay(file, "--dsn", dsn, "--speed", "100")

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines()[1].split()[:3] == ["tiny", "4", "4"]
    assert run.stdout.endswith("Every task ran once, after its parents, and had their results.\n")


def test_every_shared_recording_runs_on_two_processes(dsn: str) -> None:
    files = sorted(SHARED.glob("*.json"))
    if not files:
        pytest.skip(f"there are no recorded workflows in {SHARED}: they are no part of this repository")

    run = _replay(*files, "--dsn", dsn, "--processes", "2")

    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split()[0] for line in run.stdout.splitlines()[1:-1]] == [file.stem for file in files]


def test_malformed_files_are_all_named_before_anything_runs(tmp_path: Path) -> None:
    good = _write(tmp_path, _document())
    text = tmp_path / "text.json"
    text.write_text("no JSON")

    run = _replay(good, text, tmp_path / "missing.json", "--dsn", "postgresql://localhost:1/nowhere")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.splitlines() == [
        f"error: {text}: is not JSON: Expecting value: line 1 column 1 (char 0)",
        f"error: {tmp_path / 'missing.json'}: No such file or directory",
    ]


def test_an_unreachable_database_is_a_clear_error(tmp_path: Path) -> None:
    run = _replay(_write(tmp_path, _document()), "--dsn", "postgresql://localhost:1/nowhere")

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: cannot reach the database nowhere at localhost:1")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(schemaVersion="1.4"), "schemaVersion is '1.4'; expected '1.5'"),
        (lambda d: d.pop("schemaVersion"), "schemaVersion is missing"),
        (lambda d: d.pop("workflow"), "workflow is missing"),
        (lambda d: d["workflow"].update(specification=[]), "workflow.specification has the wrong type: list"),
        (lambda d: _tasks(d).clear(), "workflow.specification.tasks is empty"),
        (lambda d: _tasks(d).append("align"), "workflow.specification.tasks[4] is not an object"),
        (lambda d: _tasks(d)[1].update(id="fetch"), "workflow.specification.tasks[1]: another task has the id 'fetch'"),
        (lambda d: _tasks(d)[1].update(id="a\0"), "id is 'a\\x00'; expected 1 to 200 printable characters"),
        (lambda d: _tasks(d)[1]["parents"].append("x"), "task 'align' names the parent 'x', which does not exist"),
        (lambda d: _tasks(d)[3]["children"].append("x"), "task 'report' names the child 'x', which does not exist"),
        (lambda d: _tasks(d)[3].pop("children"), "workflow.specification.tasks[3].children is missing"),
        (lambda d: _tasks(d)[3]["parents"].append(1), "workflow.specification.tasks[3].parents is not a list of ids"),
        (lambda d: _tasks(d)[3]["parents"].append("align"), "tasks[3].parents names a task twice"),
        (
            lambda d: _tasks(d)[3]["parents"].remove("count"),
            "task 'count' names an edge from 'count' to 'report', task 'report' does not",
        ),
        (
            lambda d: (_tasks(d)[0]["parents"].append("report"), _tasks(d)[3]["children"].append("fetch")),
            "the tasks depend on each other: ",
        ),
        (lambda d: d["workflow"].pop("execution"), "workflow.execution is missing"),
        (lambda d: _runs(d).pop(), "workflow.execution.tasks has no run time of task 'report'"),
        (lambda d: _runs(d)[0].update(runtimeInSeconds=-1), "runtimeInSeconds is -1; expected 0 s up to a year"),
        (lambda d: _runs(d)[0].update(runtimeInSeconds=float("nan")), "runtimeInSeconds is nan; expected"),
        (lambda d: _runs(d)[0].update(runtimeInSeconds="1"), "runtimeInSeconds has the wrong type: str"),
        (lambda d: _runs(d).append(_runs(d)[0]), "workflow.execution.tasks[4]: task 'fetch' has a run time already"),
        (
            lambda d: _runs(d).append({"id": "x", "runtimeInSeconds": 1}),
            "workflow.execution.tasks names 'x', which is no task",
        ),
    ],
)
def test_a_malformed_file_says_where_it_is_wrong(tmp_path: Path, edit: Edit, message: str) -> None:
    document = _document()
    edit(document)

    with pytest.raises(MalformedError) as caught:
        read(_write(tmp_path, document))

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", '{"schemaVersion": 1.5}', "\ufeff{}"])
def test_json_that_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd.json"
    file.write_text(text)

    with pytest.raises(MalformedError):
        read(file)


def test_a_digest_depends_on_every_ancestor(tmp_path: Path) -> None:
    document = _document()
    before = read(_write(tmp_path, document)).digests()
    _tasks(document)[0]["id"] = _tasks(document)[1]["parents"][0] = _tasks(document)[2]["parents"][0] = "other"
    _runs(document)[0]["id"] = "other"

    after = read(_write(tmp_path, document)).digests()

    assert {task for task in EDGES if before[task] == after.get(task)} == set()


def test_the_longest_path_is_the_least_time_a_replay_needs(tmp_path: Path) -> None:
    recording = read(_write(tmp_path, _document()))

    assert recording.longest_path() == pytest.approx(0.5 + 1.5 + 0.5)


def test_a_right_replay_has_no_faults(tmp_path: Path) -> None:
    recording = read(_write(tmp_path, _document()))

    assert find_faults(recording, _ledger(*EDGES), _results(recording)) == []


def test_a_task_that_ran_twice_or_never_is_a_fault(tmp_path: Path) -> None:
    recording = read(_write(tmp_path, _document()))

    faults = find_faults(recording, _ledger("fetch", "align", "align", "report"), _results(recording))

    assert "task 'align' has 2 entries of its start, expected 1" in faults
    assert "task 'count' has 0 entries of its end, expected 1" in faults


def test_a_task_that_ran_before_its_parent_is_a_fault(tmp_path: Path) -> None:
    recording = read(_write(tmp_path, _document()))

    faults = find_faults(recording, _ledger("fetch", "align", "report", "count"), _results(recording))

    assert faults == ["task 'report' started before its parent 'count' had ended"]


def test_a_result_without_its_parents_is_a_fault(tmp_path: Path) -> None:
    recording = read(_write(tmp_path, _document()))
    results = {**_results(recording), "report": {"task": "report", "digest": "of nothing"}}

    [fault] = find_faults(recording, _ledger(*EDGES), results)

    assert fault.startswith("the result of task 'report' is {'task': 'report', 'digest': 'of nothing'}, expected ")


def _document() -> Document:
    """A tiny recording; ``count`` takes 1.5 s, every other task 0.5 s."""
    tasks = [
        {"id": task, "children": list(children), "parents": [p for p, named in EDGES.items() if task in named]}
        for task, children in EDGES.items()
    ]
    runs = [{"id": task, "runtimeInSeconds": 1.5 if task == "count" else 0.5} for task in EDGES]
    return {
        "name": "tiny",
        "schemaVersion": "1.5",
        "workflow": {"specification": {"tasks": tasks}, "execution": {"tasks": runs}},
    }


def _tasks(document: Document) -> list[Any]:
    return document["workflow"]["specification"]["tasks"]


def _runs(document: Document) -> list[Any]:
    return document["workflow"]["execution"]["tasks"]


def _write(directory: Path, document: Document) -> Path:
    file = directory / "tiny.json"
    file.write_text(json.dumps(document))
    return file


def _ledger(*tasks: str) -> list[Entry]:
    """As if these tasks had run one after the other."""
    return [Entry(workflow_id=1, phase=phase, task=task, pid=1) for task in tasks for phase in ("start", "end")]


def _results(recording: Recording) -> dict[str, Any]:
    return {task: {"task": task, "digest": digest} for task, digest in recording.digests().items()}


def _replay(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50)
