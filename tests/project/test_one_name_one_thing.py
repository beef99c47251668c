"""Inside the package too a name means one thing: whoever reads it need not look at the import to know which."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
DJANGOS = re.compile(r"integrations\.django\.(migrations|management)\.")
"""Modules in which Django says what the class is called."""

FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path for path in SRC.rglob("*.py")
}


def test_no_two_types_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for module in FILES:
        for node in () if DJANGOS.search(module) else _tree(module).body:
            match node:
                case ast.ClassDef(name) | ast.TypeAlias(ast.Name(name)) if not name.startswith("_"):
                    homes[name].append(module)

    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_what_modules_import_by_name_has_one_home() -> None:
    """A function may be called as another is while only ``module.function`` says which: ``schema.status``."""
    homes: dict[str, set[str]] = defaultdict(set)
    for module in FILES:
        for source, name, _ in _imports(module):
            if (home := _home(source, name)) is not None:
                homes[name].add(home)

    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_no_module_imports_a_thing_of_ours_under_the_name_of_another() -> None:
    names = {name for module in FILES for name in _defined(module)}
    taken = [
        f"{module}: {name} as {alias}"
        for module in FILES
        for _, name, alias in _imports(module)
        if alias != name and alias in names
    ]

    assert taken == []


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


@cache
def _defined(module: str) -> frozenset[str]:
    """What a module makes: functions, classes, types, constants."""

    def names() -> Iterator[str]:
        for node in _tree(module).body:
            match node:
                case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                    yield name
                case ast.TypeAlias(ast.Name(name)) | ast.AnnAssign(ast.Name(name)) | ast.Assign([ast.Name(name)]):
                    yield name

    return frozenset(names())


def _imports(module: str) -> Iterator[tuple[str, str, str]]:
    """Module, name and name here of what a module imports from the package."""
    package = module.split(".") if FILES[module].name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((source, alias.name, alias.asname or alias.name) for alias in node.names)


def _home(module: str, name: str) -> str | None:
    """Where something is made that this module has; None for a module."""
    if module not in FILES or f"{module}.{name}" in FILES:
        return None
    if name in _defined(module):
        return module
    for source, original, here in _imports(module):
        if here == name:
            return _home(source, original)
    return None
