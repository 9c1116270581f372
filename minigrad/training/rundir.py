"""A run's directory: everything that one training run leaves behind, under names that every model shares.

::

    runs/transformer-dates/
      config.json       options, seed, command line, versions: how to make this run again
      vocabulary.json   what the model's input numbers mean
      checkpoints/      best.safetensors, last.safetensors, step-00004000.safetensors ...
      metrics.jsonl     one JSON object a line: {"step": 100, "loss": 3.21, ...}
      log.txt           what the run said, with the time of day
      samples/          source, reference and hypothesis at each validation
      loss.svg          the loss curves
      pictures/         a translator's own, drawn when training ends, where matplotlib is: what it looks at, where it errs
      monitor.json      gradients, weights and activations over training; see minigrad.viz.Monitor
      grad_flow.svg     the same as a picture, where matplotlib is installed
"""

import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from minigrad.errors import CheckpointError, UsageError
from minigrad.formats import atomic
from minigrad.training import curves

FORMAT = "minigrad.run/1"


class RunDirectory:
    """The directory of one run. Make one with :meth:`create` for a new run and :meth:`open` for an earlier one.

    Every method that writes raises CheckpointError, in one sentence, when the disk is full or the place cannot be written;
    what was written before stays as it was.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    # Making and opening

    @classmethod
    def create(
        cls, path: str | os.PathLike | None = None, *, job: str = "run", data: str = "data", root: str | os.PathLike = "runs"
    ) -> "RunDirectory":
        """Make the directory of a new run.

        Args:
            path: the directory; it may exist if it is empty. By default ``<root>/<job>-<data>``, with ``-2``, ``-3`` ...
                appended if that name is taken.

        Raises:
            CheckpointError: the directory holds a run or other files, is a file, or cannot be written.
        """
        cls.check_new(path, root=root)
        if path is None:
            return cls(_make_numbered(Path(root), f"{_as_name(job)}-{_as_name(data)}"))
        try:
            Path(path).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic.cannot_write(path, error) from error
        return cls(path)

    @staticmethod
    def check_new(path: str | os.PathLike | None = None, *, root: str | os.PathLike = "runs") -> None:
        """Raise what :meth:`create` would, and make nothing: to be asked before long work."""
        place = Path(root if path is None else path)
        try:
            existing = next(parent for parent in (place, *place.absolute().parents) if parent.exists())
            held = sorted(e.name for e in place.iterdir() if not e.name.startswith(".")) if path and place.is_dir() else []
        except OSError as error:
            raise atomic.cannot_write(place, error) from error
        if not existing.is_dir():
            raise CheckpointError(f"a run needs a directory: {existing} is a file; give another --out")
        if not os.access(existing, os.W_OK):
            raise CheckpointError(f"{existing} cannot be written: permission denied, or read-only; give another --out")
        if "config.json" in held:
            raise CheckpointError(f"{place} already holds a run; continue it with --resume, or give another --out")
        if held:
            raise CheckpointError(f"a new run needs an empty directory: {place} holds {held[0]!r}; give another --out")

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Train in this directory alone: two processes would overwrite each other's checkpoints.

        The claim is a lock on the directory itself. It leaves no file behind and ends with the process, however that ends.
        Where the system or the file system has no such lock (Windows, some network drives), nothing is claimed.

        Raises:
            CheckpointError: another process trains here.
        """
        try:
            import fcntl
        except ImportError:
            yield
            return
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(directory)
            message = f"another process is training in {self.path}; wait for its end, or give another --out"
            raise CheckpointError(message) from None
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            os.close(directory)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "RunDirectory":
        """Open the directory of an earlier run, to resume, translate or test.

        Raises CheckpointError if it does not exist, is no directory, or holds no run that this version can read.
        """
        path = Path(path)
        if not path.exists():
            raise CheckpointError(f"there is no run directory {path}; check the name, or train a model first")
        if not path.is_dir():
            raise CheckpointError(f"{path} is a file, no run directory; give the directory that holds config.json")
        if not (path / "config.json").exists():
            raise CheckpointError(f"{path} is no run directory: it holds no config.json; give one that 'train' made")
        run = cls(path)
        run.config()  # an unreadable configuration is better reported now than after minutes of work
        return run

    # Configuration and vocabulary

    def write_config(
        self,
        options: Mapping[str, Any],
        seed: int | None = None,
        command: Iterable[str] | None = None,
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Write ``config.json``: the job's options, and what else is needed to make the run again.

        Args:
            options: the job's options, whatever they are.
            seed: of everything random.
            command: the command line; this process's own by default.
            data: what tells whether the data is still the same, by split.
        """
        config = {
            "format": FORMAT,
            "options": dict(options),
            "seed": seed,
            "data": dict(data or {}),
            "command": list(sys.argv if command is None else command),
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": {
                "python": platform.python_version(),
                **{name: _version(name) for name in ("minigrad", "numpy", "numba")},
            },
            "platform": platform.platform(),
        }
        self._write_json("config.json", config)

    def config(self) -> dict[str, Any]:
        """What :meth:`write_config` wrote, with the keys options, seed, data, command, created, versions, platform."""
        config = self._read_json("config.json")
        found = config.get("format") if isinstance(config, dict) else None
        if found != FORMAT:
            raise CheckpointError(
                f"{self.path / 'config.json'} has the format {found!r}, this minigrad reads {FORMAT!r}; "
                "use the minigrad that wrote it, or train again"
            )
        return config

    def write_options(self, options: Mapping[str, Any]) -> None:
        """Put other options into ``config.json``, whose other entries stay: a resumed run may have more steps to go."""
        self._write_json("config.json", {**self.config(), "options": dict(options)})

    def write_vocabulary(self, vocabulary: Any) -> None:
        """Write ``vocabulary.json``: any JSON value."""
        self._write_json("vocabulary.json", vocabulary)

    def vocabulary(self) -> Any:
        """What :meth:`write_vocabulary` wrote."""
        return self._read_json("vocabulary.json")

    # Checkpoints

    def checkpoint(self, name: str | int) -> Path:
        """Where a checkpoint is or goes: ``"best"``, ``"last"``, ``"averaged"``, or a step number. Makes the directory."""
        directory = self._directory("checkpoints")
        return directory / f"{f'step-{name:08d}' if isinstance(name, int) else _as_name(name)}.safetensors"

    def checkpoints(self) -> list[Path]:
        """The checkpoints that carry a step number, earliest first."""
        return sorted((self.path / "checkpoints").glob("step-*.safetensors"))

    def prune(self, keep: int) -> None:
        """Delete all checkpoints that carry a step number but the ``keep`` latest; best and last stay."""
        if keep < 0:
            raise UsageError(f"keep counts checkpoints, 0 or more: got {keep}")
        paths = self.checkpoints()
        for path in paths[: max(len(paths) - keep, 0)]:
            path.unlink(missing_ok=True)

    # What happened: log, metrics, samples, curves

    def log(self, text: str) -> None:
        """Append ``text`` to ``log.txt`` under the time of day."""
        moment = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        self._append("log.txt", "".join(f"{moment}  {line}\n" for line in text.splitlines() or [""]))

    def record(self, step: int, **values: Any) -> None:
        """Append one line to ``metrics.jsonl``. NaN and infinity become null, so that every JSON parser reads the line.

        The curves know loss, lr, valid_loss, bleu, chrf and exact_match; other names are kept as they are.
        """
        line = {"step": int(step)} | {name: _plain(value) for name, value in values.items()}
        self._append("metrics.jsonl", json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``. A line torn by a full disk or a killed process is left out."""
        return list(_lines(self.path / "metrics.jsonl"))

    def rewind(self, step: int) -> None:
        """Cut what lies after ``step`` from ``metrics.jsonl``: a run resumed from an earlier checkpoint repeats those steps."""
        if (self.path / "metrics.jsonl").exists():
            kept = (line for line in self.metrics() if line["step"] <= step)
            atomic.write_text(
                self.path / "metrics.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
            )

    def write_samples(self, step: int, samples: Iterable[tuple[str, str, str]]) -> None:
        """Write (source, reference, hypothesis) triples to ``samples/step-<step>.txt``."""
        text = "\n".join(f"source      {s}\nreference   {r}\nhypothesis  {h}\n" for s, r, h in samples)
        atomic.write_text(self._directory("samples") / f"step-{step:08d}.txt", text)

    def draw_curves(self, **how: Any) -> Path:
        """Draw ``loss.svg`` from ``metrics.jsonl``, as :func:`minigrad.training.curves.draw` does, and say where it is."""
        path = self.path / "loss.svg"
        atomic.write_text(path, curves.draw(self.metrics(), title=self.path.resolve().name, **how))
        return path

    def _directory(self, name: str) -> Path:
        directory = self.path / name
        try:
            directory.mkdir(exist_ok=True)
        except OSError as error:
            raise atomic.cannot_write(directory, error) from error
        return directory

    def _append(self, name: str, text: str) -> None:
        # Opened and closed each time: the line is with the operating system before the next step, whatever happens then.
        try:
            with open(self.path / name, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            raise atomic.cannot_write(self.path / name, error) from error

    def _write_json(self, name: str, value: Any) -> None:
        atomic.write_text(self.path / name, json.dumps(_plain(value), ensure_ascii=False, indent=1) + "\n")

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(f"the run directory lacks {path}; restore the file, or train again") from None
        except (ValueError, OSError, RecursionError) as error:
            raise CheckpointError(f"{path} cannot be read as JSON: {error}; restore the file, or train again") from error


def find_run(path: str | None, job: str) -> RunDirectory:
    """The run at ``path``, or the newest one of this job under ``runs/``.

    Raises:
        CheckpointError: there is none.
    """
    if path is not None:
        return RunDirectory.open(path)
    found = sorted(Path("runs").glob(f"{job}-*/config.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise CheckpointError(f"{Path('runs').resolve()} holds no run of {job}: train one first, or name one with --run")
    return RunDirectory.open(found[-1].parent)


def _make_numbered(root: Path, name: str) -> Path:
    """Make ``root/name``, or ``root/name-2`` ... . mkdir itself decides who comes first when two runs start at once."""
    number = 1
    while True:
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not root.is_dir():
                raise CheckpointError(f"runs are kept in a directory: {root} is a file; give another --out") from None
            number += 1
        except OSError as error:
            raise atomic.cannot_write(path, error) from error
        else:
            return path


def _as_name(text: str) -> str:
    """``text`` as part of a file name: letters, digits, dots and dashes. A path gives its last part."""
    return re.sub(r"[^\w.]+", "-", Path(text).name).strip("-.") or "data"


def _version(package: str) -> str:
    """The installed version, without importing the package."""
    try:
        return packages.version(package)
    except packages.PackageNotFoundError:
        return "not installed"


def _plain(value: Any) -> Any:
    """``value`` as strict JSON: NumPy numbers as Python's, paths as text, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item"):  # a NumPy number, or a Tensor or an array of one element
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for text in file:
                try:
                    line = json.loads(text)
                except ValueError:
                    continue
                if isinstance(line, dict) and isinstance(line.get("step"), int):
                    yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}; check its permissions") from error
