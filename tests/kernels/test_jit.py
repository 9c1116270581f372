"""What is shared by the compiled kernels: a changed file makes those that took functions from it compile again."""

import ast
import os
from pathlib import Path

from minigrad.kernels import jit

KERNELS = Path(jit.__file__).parent


def siblings_imported_by(path):
    """The names of the kernel files that one of them imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "minigrad.kernels":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minigrad.kernels."):
            yield node.module.rpartition(".")[2]


def test_every_file_that_others_import_is_listed_as_shared():
    imported = {name for path in KERNELS.glob("*.py") for name in siblings_imported_by(path)}
    assert sorted(imported) == sorted(jit.SHARED)


def test_only_kernels_older_than_a_shared_file_are_forgotten(tmp_path):
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    newest = max((KERNELS / f"{name}.py").stat().st_mtime for name in jit.SHARED)
    for name, age in (("old.nbi", 10), ("new.nbi", -10), ("old.nbc", 10)):
        (cache / name).touch()
        os.utime(cache / name, (newest - age, newest - age))
    jit.forget_stale_kernels(tmp_path)
    assert sorted(path.name for path in cache.iterdir()) == ["new.nbi", "old.nbc"]
    jit.forget_stale_kernels(tmp_path / "not there")
