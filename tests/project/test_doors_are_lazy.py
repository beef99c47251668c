"""Who does not open a door pays nothing for it: neither the package nor the command's help loads one."""

import subprocess
import sys

import pytest

DOORS = {
    "starlette",
    "jinja2",
    "sse_starlette",
    "uvicorn",
    "mcp",
    "mcp_types",
    "pydantic",
    "django",
    "fastapi",
    "httpx",
}
OURS = {"oban_powertools.web", "oban_powertools.agents", "oban_powertools.integrations"}

HELP = "from oban_powertools.cli.main import run; run(['--help'])"


@pytest.mark.parametrize(
    "code",
    [
        "import oban_powertools",
        "from oban_powertools import *",
        HELP,
        HELP.replace("--help", "web', '--help"),
        HELP.replace("--help", "mcp', '--help"),
        HELP.replace("--help", "password', '--help"),
    ],
    ids=["import", "every name", "help", "help of web", "help of mcp", "help of password"],
)
def test_no_door_is_loaded_by(code: str) -> None:
    tell = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", tell], capture_output=True, text=True, check=True)

    loaded = set(done.stderr.split())
    assert "oban_powertools" in loaded
    assert sorted(loaded & (DOORS | OURS)) == []
