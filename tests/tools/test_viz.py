"""The check of back ends: what is there is named with its version, what is missing with the line that brings it."""

import subprocess
import sys
from importlib import metadata

import pytest

from tools import viz


def test_every_back_end_is_listed_with_version_or_advice():
    found = {end.name: (end, line) for end, line in zip(viz.BACK_ENDS, viz.check(), strict=True)}
    assert list(found) == ["dot", "pygraphviz", "matplotlib", "scikit-learn", "IPython", "TensorBoard"]
    for name, (end, line) in found.items():
        assert line.startswith(name) and line.endswith(end.purpose)
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "" if name == "dot" else end.advice
        assert version in line
        assert ("not here" in line or "does not work" in line) == (end.advice in line)


def test_an_empty_path_and_a_broken_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(viz.metadata, "version", lambda name: "1.0")
    monkeypatch.setattr(
        viz,
        "BACK_ENDS",
        [viz.BACK_ENDS[0], viz.BackEnd("broken", "nothing", "pip", viz._package("broken", "import broken_package_"))],
    )
    dot, broken = viz.check()
    assert "not here: apt install graphviz" in dot
    assert "does not work (ModuleNotFoundError: No module named 'broken_package_'): pip" in broken


def test_the_command_ends_well(monkeypatch, capsys):
    monkeypatch.setattr(viz, "BACK_ENDS", viz.BACK_ENDS[:1])
    assert viz.main(["--check"]) == 0
    assert "dot" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        viz.main([])


def test_it_runs_as_a_module():
    found = subprocess.run([sys.executable, "-m", "tools.viz", "--help"], capture_output=True, text=True, check=True)
    assert "--check" in found.stdout
