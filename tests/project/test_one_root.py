"""The services are made at the composition root, and each public call has one home."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CODE: Final = Path(__file__).parents[2] / "src" / "oban_powertools"

DOORS: Final = ("agents/", "cli/", "demo/", "integrations/", "sync/", "testing/", "web/")

ROOTS: Final = ("calls.py", "powertools.py", "schema.py")
"""The last works where nothing is installed yet, and so without services."""

SERVICES: Final = frozenset({"Services", "Guard", "Settings", "Queries", "DisplayPolicy"})

type Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(CODE.rglob("*.py")):
        yield path.relative_to(CODE).as_posix(), ast.parse(path.read_text())


def below_the_root() -> Iterator[tuple[str, ast.Module]]:
    return ((path, tree) for path, tree in modules() if path not in ROOTS and not path.startswith(DOORS))


def optional_services(function: Function) -> Iterator[str]:
    """Arguments that are a service and have a default."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else []
    with_default += [a for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
    for argument in with_default:
        names = {n.id for n in ast.walk(argument.annotation or argument) if isinstance(n, ast.Name)}
        if names & SERVICES:
            yield argument.arg


def hands_on(function: Function) -> bool:
    """Whether it only hands its arguments, as they are, to a method of something else."""
    body = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Return | ast.Expr):
        return False
    call = body[0].value.value if isinstance(body[0].value, ast.Await) else body[0].value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != function.name:
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return bool(values) and all(isinstance(value, ast.Name) for value in values)


def calls_of_facades() -> Iterator[tuple[str, Function]]:
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "Facade" for base in node.bases):
                functions = (f for f in node.body if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
                yield from ((f"{path}: {node.name}.{f.name}", f) for f in functions if not f.name.startswith("_"))


def test_no_default_below_the_root_hides_a_service_that_is_missing() -> None:
    found = [
        f"{path}: {node.name}({argument})"
        for path, tree in below_the_root()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for argument in optional_services(node)
    ]

    assert found == []


def test_no_function_below_the_root_makes_a_service_of_its_own() -> None:
    found = [
        f"{path}:{node.lineno}: {node.func.id}"
        for path, tree in below_the_root()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SERVICES
    ]

    assert found == []


def test_no_call_of_a_facade_only_hands_its_arguments_on() -> None:
    calls = list(calls_of_facades())

    assert len(calls) > 60
    assert [name for name, function in calls if hands_on(function)] == []
