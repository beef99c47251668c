"""Write the types of the synchronous calls, ``facades.pyi``, from the signatures of the asynchronous ones.

``python -m tools.sync_types`` writes the file; a test compares it.
"""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from oban_powertools.calls import Calls
from oban_powertools.sync import facades

TYPES: Final = Path(facades.__file__).with_suffix(".pyi")
_OURS: Final = {"WorkflowHandle", "Subscription"}
"""Names that are synchronous here."""

_HEAD: Final = """\
# Written by `python -m tools.sync_types`: the types of facades.py.
# ruff: noqa: A002, E501
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Any

{imports}
from .waiting import SyncSubscription, SyncWorkflowHandle

"""


def types_text() -> str:
    """The text of the file, formatted."""
    imports: defaultdict[str, set[str]] = defaultdict(set)
    kinds = [kind for kind in inspect.get_annotations(Calls).values() if isinstance(kind, type)]
    groups = [_group(kind, imports) for kind in sorted(kinds, key=lambda kind: kind.__name__)]
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())]
    text = _HEAD.format(imports="\n".join(lines)) + "\n".join(groups)
    for command in (["check", "--select", "I", "--fix-only", "-q"], ["format", "-q"]):
        done = subprocess.run(
            [Path(sys.executable).parent / "ruff", *command, "--stdin-filename", TYPES, "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        text = done.stdout
    return text


def _group(kind: type, imports: defaultdict[str, set[str]]) -> str:
    calls = [_call(call, imports) for call in _calls(kind)]
    body = "\n".join(["def __init__(self, runs: Any) -> None: ...", *calls])
    return f"class Sync{kind.__name__}:\n{textwrap.indent(body, '    ')}\n"


def _calls(kind: type) -> Iterator[Any]:
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        if not name.startswith("_") and inspect.isroutine(getattr(member, "__func__", member)):
            yield member


def _call(member: Any, imports: defaultdict[str, set[str]]) -> str:
    call: Callable[..., Any] = inspect.unwrap(getattr(member, "__func__", member))
    [function] = ast.parse(textwrap.dedent(inspect.getsource(call))).body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    assert function.returns is not None
    arguments = function.args
    for named in (function.args, function.returns):
        _import(named, call, imports)
    returns = re.sub(rf"\b({'|'.join(_OURS)})\b", r"Sync\1", ast.unparse(function.returns))
    if inspect.isasyncgenfunction(call):
        given = returns.removeprefix("AsyncGenerator[").removesuffix("]")
        is_context = member is not call and hasattr(member, "__wrapped__")
        returns = f"AbstractContextManager[{given}]" if is_context else f"Generator[{given}]"
    first = (inspect.getdoc(call) or "").partition("\n\n")[0].replace("\n", " ")
    static = "@staticmethod\n" if isinstance(member, staticmethod) else ""
    return f'{static}def {function.name}({ast.unparse(arguments)}) -> {returns}:\n    """{first}"""\n'


def _import(written: ast.AST, call: Callable[..., Any], imports: defaultdict[str, set[str]]) -> None:
    for node in ast.walk(written):
        if isinstance(node, ast.Name) and node.id not in _OURS | {"AsyncGenerator"}:
            found = call.__globals__.get(node.id)
            if found is not None:
                imports[_module_of(found) if hasattr(found, "__module__") else _module_of(call)].add(node.id)


def _module_of(found: Any) -> str:
    module: str = found.__module__
    if not module.startswith("oban_powertools."):
        return module
    return ".." + module.removeprefix("oban_powertools.")


if __name__ == "__main__":
    TYPES.write_text(types_text())
