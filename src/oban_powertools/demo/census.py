"""Count what is in the standard library's Python source, and report it. No jobs, no database.

Source is parsed, never imported, so counting a module does not run it. The report is written whole or not at all,
because its step may be killed and run again.
"""

import ast
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypedDict

LIBRARY: Final = Path(sysconfig.get_path("stdlib"))
LEFT_OUT: Final = frozenset({"test", "tests", "idle_test", "site-packages", "__pycache__"})
"""Directories that hold no part of the library itself."""
SINGLE_FILES: Final = "single-file modules"
"""The group of the modules that belong to no package."""
KINDS: Final = ("modules", "lines", "functions", "classes")
SHOWN: Final = 12
"""Rows of a list of the largest."""


class Count(TypedDict):
    """What is in a module, a package or the whole library.

    ``sums`` is one of ``KINDS`` -> how many, ``imports`` module -> how many of ours import it, ``longest`` the longest
    functions -> their lines.
    """

    name: str
    sums: dict[str, int]
    imports: dict[str, int]
    longest: dict[str, int]


def list_modules() -> list[str]:
    """Dotted names of every module of the standard library whose source is installed, sorted."""
    names: list[str] = []
    for name in sorted(sys.stdlib_module_names):
        paths = [*LIBRARY.glob(f"{name}.py"), *sorted((LIBRARY / name).rglob("*.py"))]
        names += [".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if not LEFT_OUT.intersection(name.split("."))]


def package_of(module: str) -> str:
    """``asyncio`` for ``asyncio.events``; the group of single files for ``bisect``."""
    top = module.partition(".")[0]
    return top if (LIBRARY / top).is_dir() else SINGLE_FILES


def count_module(module: str) -> Count:
    """Parse and count one module.

    Raises:
        LookupError: There is no Python source: the module is written in C, or not installed.
    """
    path = LIBRARY.joinpath(*module.split("."))
    for source in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if source.is_file():
            return count_source(module, source.read_bytes())
    raise LookupError(f"{module} has no Python source: it is built into the interpreter")


def count_source(module: str, source: bytes) -> Count:
    """Parse and count the source of a module.

    Raises:
        SyntaxError: It is not Python.
    """
    with warnings.catch_warnings(action="ignore"):  # invalid escapes are the library's business
        nodes = list(ast.walk(ast.parse(source)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = sorted(((node.end_lineno or 0) - node.lineno + 1, f"{module}.{node.name}") for node in functions)
    classes = sum(isinstance(node, ast.ClassDef) for node in nodes)
    sums: dict[str, int] = dict(zip(KINDS, (1, len(source.splitlines()), len(functions), classes), strict=True))
    longest = Counter({name: length for length, name in lengths}).most_common(SHOWN)
    return Count(name=module, sums=sums, imports=dict.fromkeys(_imports(nodes), 1), longest=dict(longest))


def combine(name: str, counts: Sequence[Count]) -> Count:
    """The sums of modules, or of packages."""
    sums, imports, longest = Counter[str](), Counter[str](), Counter[str]()
    for count in counts:
        sums.update(count["sums"])
        imports.update(count["imports"])
        longest.update(count["longest"])
    return Count(name=name, sums=dict(sums), imports=dict(imports), longest=dict(longest.most_common(SHOWN)))


def write_report(folder: Path, total: Count, packages: Sequence[Count], left_out: Sequence[str]) -> Path:
    """Write ``census.md``; ``left_out`` is the module that could not be counted, and why.

    Raises:
        OSError: The folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "census.md.unfinished"
    unfinished.write_text("\n".join(_lines(total, packages, left_out)), encoding="utf-8")
    return unfinished.replace(folder / "census.md")


def describe(total: Count) -> str:
    """``625 modules, 307,390 lines, 15,126 functions, 2,911 classes in CPython 3.13.0``."""
    return f"{', '.join(f'{total["sums"][kind]:,} {kind}' for kind in KINDS)} in {total['name']}"


def _imports(nodes: Iterable[ast.AST]) -> Iterable[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _lines(total: Count, packages: Sequence[Count], left_out: Sequence[str]) -> Iterator[str]:
    yield f"# A census of the standard library\n\n{describe(total)}.\n"
    by_size = sorted(packages, key=lambda package: package["sums"]["lines"], reverse=True)
    rows = [(package["name"], *(package["sums"][kind] for kind in KINDS)) for package in by_size]
    yield from _table(("package", *KINDS), rows)
    yield from _table(("longest functions", "lines"), Counter(total["longest"]).most_common())
    yield from _table(("most imported modules", "imported by"), Counter(total["imports"]).most_common(SHOWN))
    yield from _table(("not counted", "why"), [left_out])


def _table(head: Sequence[str], rows: Sequence[Sequence[str | int]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |"
    yield ""
