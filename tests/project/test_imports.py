# Copyright 2026 The modeling_elmo authors. Licensed under the Apache License, Version 2.0.
"""Rules for imports between the parts of the package, read from the source of the installed files."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import modeling_elmo
from modeling_elmo import conversion

PACKAGE = "modeling_elmo"
SHARED = {
    *("_version", "bundled", "device", "files", "interrupts", "loading", "messages", "optional"),
    *("remote_code", "vocabulary"),
}

# Imports that run when a part is imported. A part is a folder or a module of the package; all but `model` and the
# shared modules may import these, and the shared modules may import `model` and one another.
ALLOWED = {
    "model": set(),
    "encode": {"model"},
    "encoder": {"encode", "model"},
    "scorer": {"encode", "model"},
    "__init__": {"encoder", "scorer", "model"},
    "onnx": {"encode", "model"},
    "native": set(),
    "embed": {"encoder", "scorer", "encode", "model"},
    "training": {"encoder", "scorer", "encode", "model"},
    "conversion": {"model"},
    "spark": {"encoder", "encode", "model"},
    "__main__": {"elmo_cli"},
}
# Imports inside functions that are allowed in addition.
ALLOWED_LAZY = {"encoder": {"onnx"}, "scorer": {"onnx"}, "conversion": {"onnx"}, "spark": {"conversion"}}
TOP = {"compat", "cli"}  # they may import every part except each other
NEVER_IMPORTED = {"cli", "compat", "spark"}
OUTSIDE = {"tests", "helpers", "common", "fetch", "benchmarks", "examples"}
# transformers loads `model` as remote code, without the package.
THIRD_PARTY_OF_MODEL = {"torch", "transformers", "safetensors", "numpy", "regex"}


class Import(NamedTuple):
    """One import statement: `source` and `target` are dotted names of modules."""

    source: str
    target: str
    is_lazy: bool  # inside a function
    is_guarded: bool  # inside `try`
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def module_files() -> dict[str, Path]:
    """Return the files of all modules by dotted name; `conversion` may be in another folder."""
    files: dict[str, Path] = {}
    for root, prefix in ((modeling_elmo.__path__[0], PACKAGE), (conversion.__path__[0], f"{PACKAGE}.conversion")):
        for path in sorted(Path(root).rglob("*.py")):
            files[".".join([prefix, *path.relative_to(root).with_suffix("").parts])] = path
    return files


def import_nodes(node: ast.AST, lazy: bool = False, guarded: bool = False) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, lazy, guarded
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from import_nodes(child, lazy or is_function, guarded or isinstance(child, ast.Try))


def import_targets(node: ast.AST, source: str, modules: Iterable[str]) -> list[str]:
    """Return the imported modules. `from package import name` imports `package.name` if that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    base = node.module or ""
    if node.level:
        parent = source.split(".")[: -node.level]
        base = ".".join([*parent, base] if base else parent)
    submodules = [f"{base}.{alias.name}" for alias in node.names]
    known = {name.removesuffix(".__init__") for name in modules}
    return sorted({name if name in known else base for name in submodules})


def find_imports(files: dict[str, Path]) -> list[Import]:
    return [
        Import(source, target, lazy, guarded, node.lineno)
        for source, path in files.items()
        for node, lazy, guarded in import_nodes(ast.parse(path.read_text(encoding="utf-8")))
        for target in import_targets(node, source, FILES)
    ]


def part(module: str) -> str:
    """Return the part of a module: the name below the package, or the top-level name of another package."""
    names = module.split(".")
    if names[0] != PACKAGE:
        return names[0]
    return names[1] if len(names) > 1 else "__init__"


def allowed_parts(source: str, is_lazy: bool) -> set[str]:
    if source in SHARED:
        return SHARED | {"model"}
    if source in TOP:
        return {*ALLOWED, *SHARED}
    allowed = ALLOWED[source] | (ALLOWED_LAZY.get(source, set()) if is_lazy else set())
    return allowed if source == "model" else allowed | SHARED


def violations(imports: Iterable[Import]) -> list[str]:
    found = []
    for item in imports:
        source, target, package = part(item.source), part(item.target), item.target.split(".")[0]
        is_ours = package in {PACKAGE, "elmo_cli"} and source != target
        if package in OUTSIDE or (is_ours and target not in allowed_parts(source, item.is_lazy)):
            found.append(str(item))
    return found


FILES = module_files()
IMPORTS = find_imports(FILES)


def test_every_part_has_a_rule() -> None:
    assert len(FILES) > 50
    assert f"{PACKAGE}.model.modeling_elmo" in FILES
    assert f"{PACKAGE}.conversion.convert" in FILES
    assert {part(name) for name in FILES} <= {*ALLOWED, *SHARED, *TOP}


def test_imports_between_parts_follow_the_rules() -> None:
    found = violations(IMPORTS)
    assert not found, "\n".join(found)


def test_nothing_inside_the_package_imports_what_is_on_top() -> None:
    assert not [str(i) for i in IMPORTS if part(i.target) in NEVER_IMPORTED and part(i.source) != part(i.target)]


def test_model_imports_only_siblings_and_its_dependencies() -> None:
    for item in (i for i in IMPORTS if part(i.source) == "model"):
        package = item.target.split(".")[0]
        is_triton = package == "triton" and item.is_guarded
        is_third_party = package in THIRD_PARTY_OF_MODEL or package in sys.stdlib_module_names
        assert item.target in FILES or is_third_party or is_triton, item
        assert not item.is_lazy, item


def test_remote_code_finds_the_siblings_of_each_file() -> None:
    """transformers searches the text for `from .x import y`, also in docstrings, and ignores `from . import x`."""
    for name, path in FILES.items():
        if part(name) == "model":
            text = path.read_text(encoding="utf-8")
            siblings = [node.module for node, *_ in import_nodes(ast.parse(text)) if getattr(node, "level", 0)]
            assert siblings == re.findall(r"^\s*from\s+\.(\S+)\s+import", text, re.MULTILINE), name


def import_graph(unit: Callable[[str], str]) -> dict[str, set[str]]:
    """Return the imported units of each unit, where `unit` maps the dotted name of a module to its unit."""
    graph: dict[str, set[str]] = {unit(name): set() for name in FILES}
    for item in IMPORTS:
        target = item.target if item.target in FILES else f"{item.target}.__init__"
        if target in FILES and unit(target) != unit(item.source):
            graph[unit(item.source)].add(unit(target))
    return graph


def test_modules_form_no_cycle() -> None:
    TopologicalSorter(import_graph(str)).prepare()  # raises CycleError, which names the modules


def test_packages_form_no_cycle() -> None:
    """Folders, and the modules of `modeling_elmo` itself. Run pytest with -s to see the levels."""

    def package(name: str) -> str:
        names = name.split(".")
        return ".".join(names[1:2] if len(names) == 2 else names[1:-1])

    graph = import_graph(package)
    levels: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        levels[name] = 1 + max((levels[target] for target in graph[name]), default=0)
    for level in sorted(set(levels.values())):
        print(f"level {level}:", *sorted(name for name in levels if levels[name] == level))
    num_imports = sum(map(len, graph.values()))
    print(f"{len(graph)} packages and modules, {max(levels.values())} levels, {num_imports} imports between them")
    assert levels["model"] == 1


@pytest.mark.parametrize(
    ("line", "is_allowed"),
    [
        ("from ..model.modeling_elmo import ElmoModel", True),
        ("from ..files import atomic_file", True),
        ("from modeling_elmo.embed.shards import Shards", False),
        ("from .. import ElmoModel", False),
        ("from ..conversion import convert", False),
        ("def f():\n    import modeling_elmo.conversion.convert", False),
        ("import modeling_elmo.spark", False),
        ("from tests.helpers import oracle", False),
    ],
)
def test_violations_are_found(line: str, is_allowed: bool, tmp_path: Path) -> None:
    """Lines as in a module of `training`."""
    path = tmp_path / "new.py"
    path.write_text(line)
    assert (violations(find_imports({f"{PACKAGE}.training.new": path})) == []) == is_allowed
