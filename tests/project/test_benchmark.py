"""The benchmark that others can repeat: it counts what really ran, and its table and plots are whole.

Only our own adapter runs here, with very little work; the peers' packages are not installed by the tests.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.peers import lineup, plots
from bench.peers.measure import Bench, PeerFailedError
from bench.peers.publish import BEGIN, END, IMAGES, PAGE, RESULTS, published
from bench.peers.ran import total
from bench.peers.run import Everything, run
from bench.peers.table import COSTS, HEADS, table
from bench.peers.work import Work

ROOT = Path(__file__).parents[2]
SYSTEMS = (lineup.OURS, "oban", *lineup.OTHERS)
REASON = "not measured: no redis-server on this machine"

pytestmark = pytest.mark.timeout(300)

COUNT = """
import os, threading
from bench.peers.ran import RAN

def some():
    for number in range(500):
        RAN.step(number)

threads = [threading.Thread(target=some) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
if os.fork() == 0:
    RAN.step(7)
    os._exit(0)
os.wait()
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark") / "results" / "peers.json"


@pytest.fixture(scope="module")
def document(server_dsn: str, file: Path) -> Iterator[dict[str, Any]]:
    """Of a small run of ourselves, and of a peer that cannot take part."""
    missing = {"celery": REASON}
    yield run(
        server_dsn,
        Everything(systems=[lineup.OURS, "celery"], limits=[20], rounds=1, small=True, plain=False, missing=missing),
        file,
    )


def test_every_workload_is_measured_and_nothing_fails(document: dict[str, Any]) -> None:
    [row] = document["rows"]

    assert row["failed"] == {}
    assert {name: len(runs) for name, runs in row["runs"].items()} == {"W1": 1, "W2": 1, "W3": 1, "W4": 1}


def test_every_result_is_in_our_store(document: dict[str, Any]) -> None:
    """The workloads of a small run follow one another on one database."""
    [row] = document["rows"]
    steps = [lineup.SMALL[name].steps for name in ("W1", "W2", "W3")]

    assert [row["runs"][name][0]["recorded"] for name in ("W1", "W2", "W3")] == [
        steps[0],
        sum(steps[:2]),
        sum(steps),
    ]


def test_the_results_are_stored_as_json(document: dict[str, Any], file: Path) -> None:
    assert json.loads(file.read_text()) == document


def test_the_results_say_on_what_they_were_measured(document: dict[str, Any]) -> None:
    assert document["machine"]["processors"] == os.cpu_count()
    assert document["postgres"]["fsync"] in ("on", "off")
    assert set(document["systems"][lineup.OURS]["versions"]) == {"oban-powertools", "oban", "psycopg"}


def test_every_line_of_the_table_has_every_column(document: dict[str, Any]) -> None:
    lines = [line for line in table(document).splitlines() if line.startswith("|")]

    assert {line.count("|") for line in lines} == {len((*HEADS, *COSTS)) + 1}


def test_the_table_shows_a_median_and_a_spread_for_each_workload(document: dict[str, Any]) -> None:
    [line] = [line for line in table(document).splitlines() if line.startswith(f"| {lineup.OURS}, 20 |")]

    assert len(re.findall(r"\*\*[\d,.]+\*\* \([\d,.]+ to [\d,.]+\)", line)) == 4


def test_a_peer_that_takes_no_part_is_in_the_table_with_the_reason(document: dict[str, Any]) -> None:
    assert f"| celery | {REASON} |" in table(document)


def test_the_table_says_what_each_system_does_not_do(document: dict[str, Any]) -> None:
    for name in document["systems"]:
        assert re.search(rf"^- \*\*{name}\*\* \(.+\)\. .+ What it does not do: .+", table(document), re.MULTILINE)


def test_a_ratio_is_to_the_row_of_the_base_that_was_better_at_this_work(document: dict[str, Any]) -> None:
    """In the round of 3,000 steps/s its better row made 1,500 and 1,000, in the other one 1,000."""
    [row] = document["rows"]

    def of(system: str, limit: int, *rates: float) -> dict[str, Any]:
        runs = {"W1": [{**row["runs"]["W1"][0], "steps_per_s": rate} for rate in rates]}
        return {**row, "name": f"{system}, {limit}", "system": system, "limit": limit, "runs": runs}

    rows = [
        of("powertools", 20, 3000, 3000, 4000),
        of("absurd", 20, 1500, 1000, 1000),
        of("absurd", 100, 100, 100, 100),
    ]

    [line] = [one for one in table({**document, "rows": rows}).splitlines() if one.startswith("| powertools")]
    assert "**3,000** (3,000 to 4,000), 3.0 x" in line


def test_the_plots_are_drawn_for_light_and_dark_pages(document: dict[str, Any]) -> None:
    drawn = dict(plots.plots(document))

    assert set(drawn) == {f"{name}.{theme}.svg" for name in plots.PICTURES for theme in plots.THEMES}
    for name, text in drawn.items():
        root = ET.fromstring(text)
        page = root.find("{*}rect")
        theme = plots.THEMES[name.split(".")[1]]
        assert page is not None
        assert page.attrib["fill"] == theme.page
        assert [bar.attrib["fill"] for bar in root.findall("{*}rect")[1:]] == [theme.ours] * text.count(
            "powertools, 20"
        )
        assert root.findtext("{*}title")


@pytest.mark.parametrize("colours", plots.THEMES.values(), ids=plots.THEMES)
def test_what_a_plot_says_can_be_read(colours: plots.Colours) -> None:
    assert min(_contrast(text, colours.page) for text in (colours.text, colours.quiet)) >= 4.5
    assert min(_contrast(bar, colours.page) for bar in (colours.ours, colours.others)) >= 2.5


def test_steps_are_counted_across_threads_and_forks(tmp_path: Path) -> None:
    environment = {**os.environ, "BENCH_RAN": str(tmp_path)}
    subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, env=environment, check=True, timeout=60)

    assert total(tmp_path) == (2001, 4 * sum(range(500)) + 7)


def test_the_numbers_of_a_shape_are_those_of_its_steps() -> None:
    chain, fan = Work(shape="chain", count=2, size=3), Work(shape="fan", count=1, size=3)

    assert (chain.steps, chain.sum) == (6, 2 * (0 + 1 + 2))
    assert (fan.steps, fan.sum) == (5, 0 + (0 + 1 + 2) + 3)


def test_a_system_that_cannot_start_is_an_error_that_says_why(server_dsn: str) -> None:
    candidate = lineup.Candidate(system=lineup.OURS, limit=-1, work=lineup.SMALL)
    from bench.peers.environments import environment

    peer = lineup.peer_of(lineup.OURS)
    bench = Bench(server_dsn, {lineup.OURS: environment(lineup.OURS, peer)})

    with (
        bench.database("powertools_peers_fail") as uri,
        pytest.raises(PeerFailedError, match="limit"),
        bench.running(candidate, peer, uri),
    ):
        pass


@pytest.mark.parametrize("name", SYSTEMS)
def test_an_adapter_is_whole_and_needs_nothing_of_its_system_to_be_read(name: str) -> None:
    peer = lineup.peer_of(name)

    assert not peer.__abstractmethods__
    assert peer.about.endswith(".")
    assert peer.lacks.endswith(".")


def test_no_peer_is_among_what_the_project_depends_on() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    peers = {re.split(r"\W", one)[0] for name in lineup.OTHERS for one in lineup.peer_of(name).requires} - {
        "psycopg",
        "uvloop",
    }

    assert [one for one in needed if re.split(r"[^\w-]", one)[0] in peers] == []


def test_the_page_and_its_plots_show_what_was_measured() -> None:
    stored = json.loads(RESULTS.read_text())

    assert not stored["small"]
    assert BEGIN in PAGE.read_text()
    assert END in PAGE.read_text()
    assert published(PAGE.read_text(), stored) == PAGE.read_text(), "python -m bench.peers.publish"
    assert {name: (IMAGES / name).read_text() for name, _ in plots.plots(stored)} == dict(plots.plots(stored))


def _contrast(one: str, other: str) -> float:
    """Of two colours, by WCAG 2.2."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
