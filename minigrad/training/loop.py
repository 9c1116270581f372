"""The training loop: batches in, a trained model and an honest record out.

It works for any model with ``loss(batch)``, which returns the summed loss of a batch as a Tensor and the number of tokens that
the sum is over. A recurrent model that reads a text on from batch to batch has an attribute ``carried``, arrays or None: the
states that its next batch begins with. Everything needed to go on after an interruption is in the ``last`` checkpoint, to the
bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..anomaly import detect_anomaly
from ..errors import AnomalyError, CheckpointError, MissingExtraError
from ..nn.utils import clip_grad_norm_
from ..ops.random import get_rng_state, set_rng_state
from ..tensor import Tensor, raw
from . import checkpoint
from .interrupt import finishing_first
from .progress import Progress, format_duration
from .rundir import RunDirectory

_PROGRESS = ("step", "epoch", "batch", "best", "since_best", "validated_at", "tokens", "seconds")  # what a checkpoint remembers


@dataclass
class Schedule:
    """How long to train, and what to do on the way.

    Attributes:
        steps: parameter updates at most.
        accumulate: batches whose gradients are added up for one update.
        clip: the greatest norm of all gradients together; 0 leaves them as they are.
        validate_every: updates between two validations; None for once an epoch.
        patience: validations without improvement after which training stops; 0 for never.
        keep: how many numbered checkpoints to keep, one of each validation; their average is often the better model.
        metric: what decides which checkpoint is the best; ``valid_loss`` is better when lower, anything else when higher.
        enough: stop when the metric is as good as this.
    """

    steps: int
    accumulate: int = 1
    clip: float = 1.0
    validate_every: int | None = None
    patience: int = 0
    keep: int = 1
    metric: str = "valid_loss"
    enough: float | None = None


class Trainer:
    """Trains ``model`` on ``batches``.

    Args:
        model: a Module with ``loss(batch) -> (summed loss, tokens)``.
        optimizer, scheduler: as in minigrad.optim; the scheduler steps once for each update.
        batches: has ``epoch(number, start)``, which yields batches in an order that depends on the number alone.
        run: where checkpoints, metrics and the log go.
        validate: returns (metrics, samples): a dict with ``valid_loss`` among others, and (source, reference, hypothesis)
            triples.
        schedule: how long, and what on the way.
        monitor: updates from one look at gradients, weights and activations to the next (see :class:`minigrad.viz.Monitor`);
            what they find is written to the run directory, and drawn at the end. 0 for none.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        scheduler: Any,
        batches: Any,
        run: RunDirectory,
        validate: Callable[[], tuple[dict, list]],
        schedule: Schedule,
        monitor: int = 0,
    ) -> None:
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.batches, self.run, self.validate, self.schedule = batches, run, validate, schedule
        self.monitor_every = monitor
        self.monitor: Any = None  # while training
        self.step = self.epoch = self.batch = 0
        self.best: list[float] | None = None  # what the best checkpoint was measured at, higher is better
        self.since_best = 0
        self.validated_at = 0
        self.tokens = 0
        self.seconds = 0.0
        self.stopping: str | None = None  # why training is to stop after this step

    # -- one update -----------------------------------------------------------------------------------------------------

    def update(self, batches: list) -> tuple[float, float, int]:
        """One parameter update from a list of batches: (mean loss per token, gradient norm, tokens).

        Raises:
            AnomalyError: if the loss or a gradient is NaN or infinite; the parameters are left as they were.
        """
        before, carried = get_rng_state(), getattr(self.model, "carried", None)
        total, norm, tokens = self._gradients(batches)
        if not (math.isfinite(total) and math.isfinite(norm)):
            set_rng_state(before)
            if carried is not None:
                self.model.carried = carried
            raise AnomalyError(self._blame(batches))
        self.optimizer.step()
        self.scheduler.step()
        return total / tokens, norm, tokens

    def _gradients(self, batches: list) -> tuple[float, float, int]:
        self.optimizer.zero_grad()
        tokens = sum(batch.target_tokens for batch in batches)
        total = 0.0
        for batch in batches:
            loss, _ = self.model.loss(batch)
            (loss * (1 / tokens)).backward()  # the mean over all batches of this update
            total += loss.item()
        limit = self.schedule.clip or math.inf
        return total, float(clip_grad_norm_(self.model.parameters(), limit).item()), tokens

    def _blame(self, batches: list) -> str:
        """Run the update again, slowly, to say which operation went wrong first."""
        found = "no single operation did on a second run"
        try:
            with detect_anomaly():
                self._gradients(batches)
        except AnomalyError as error:
            found = str(error)
        finally:
            self.optimizer.zero_grad()
        kept = f"all was saved at step {self.validated_at:,}" if self.validated_at else "no checkpoint was due yet"
        return (
            f"training stopped at step {self.step + 1:,}: the loss or its gradient became NaN or infinite, "
            f"first here: {found}; {kept}; try a lower --lr, a longer --warmup, or a smaller --clip"
        )

    # -- the run --------------------------------------------------------------------------------------------------------

    def fit(self) -> dict:
        """Train until the schedule's end, a plateau, or Ctrl-C; then validate, if that was not just done.

        Returns:
            the metrics of the last validation.
        """
        started, earlier = time.perf_counter(), self.seconds
        metrics: dict = {}
        self.model.train()
        self.monitor = self._new_monitor()
        with Progress(self.schedule.steps, initial=self.step) as progress, finishing_first(self._stop):
            try:
                while self.step < self.schedule.steps and self.stopping is None:
                    for batches, end_of_epoch in self._updates():
                        loss, norm, tokens = self.update(batches)
                        self.step += 1
                        self.batch += len(batches)
                        self.tokens += tokens
                        self.seconds = earlier + time.perf_counter() - started
                        lr = self.scheduler.get_last_lr()[0]
                        if self.monitor is not None:
                            self.monitor.step(loss, grad_norm=norm, lr=lr)
                        progress.update(self.step, loss=loss, lr=lr, grad_norm=norm, tokens=tokens)
                        if self.step == 1 or self.step % 10 == 0:
                            totals = {"tokens": self.tokens, "seconds": self.seconds}
                            self.run.record(self.step, loss=loss, lr=lr, grad_norm=norm, **totals)
                        if self.step == 1:
                            self.say(progress, f"first step after {self.seconds:.1f} s")
                        if end_of_epoch:
                            self.epoch, self.batch = self.epoch + 1, 0
                        if self._due(end_of_epoch):
                            with progress.paused():
                                metrics = self._validate(progress)
                        if self.stopping or self.step >= self.schedule.steps:
                            break
            except AnomalyError as error:
                self.run.log(str(error))
                if self.monitor is not None:
                    self.monitor.fail(str(error))
                    self.monitor.save(self.run.path)
                raise
            finally:
                if self.monitor is not None:
                    self.monitor.close()
            if self.stopping:
                self.say(progress, self.stopping)
            self.seconds = earlier + time.perf_counter() - started
            if self.validated_at != self.step:
                self.save("last")  # before anything else can go wrong
                with progress.paused():
                    metrics = self._validate(progress)
        self.run.draw_curves()
        self._draw_flow()
        speed = self.tokens / self.seconds if self.seconds else 0.0
        took = f"{self.tokens:,} target tokens in {format_duration(self.seconds)}, validation included"
        self.say(None, f"trained {self.step:,} steps, {took}: {speed:,.0f} tokens/s")
        return metrics

    # -- gradient flow --------------------------------------------------------------------------------------------------

    def _new_monitor(self) -> Any:
        if not self.monitor_every:
            return None
        from ..viz.monitor import FILE, Monitor, record_until

        earlier = record_until(self.run.path / FILE, self.step)
        return Monitor(self.model, self.optimizer, self.monitor_every, start=self.step, record=earlier)

    def _draw_flow(self) -> None:
        """Draw what the monitor found, where pictures can be drawn."""
        if self.monitor is None or not self.monitor.record.series:
            return
        from ..viz.flow import grad_flow

        try:
            grad_flow(self.monitor, title=self.run.path.resolve().name).save(self.run.path / "grad_flow.svg")
        except MissingExtraError as error:
            self.say(None, f"gradient flow is in {self.run.path / 'monitor.json'}, but not drawn: {error}")
        except Exception as error:  # training is over and its results are safe
            self.say(None, f"gradient flow could not be drawn: {type(error).__name__}: {error}")

    def say(self, progress: Progress | None, text: str) -> None:
        """Show a line, and log it."""
        if progress is not None:
            progress.write(text)
        else:
            print(text, flush=True)
        self.run.log(text)

    def _updates(self):
        """The rest of this epoch, in lists of as many batches as one update takes, and whether each is the epoch's last."""
        remaining = len(self.batches.plan(self.epoch)) - self.batch
        waiting: list = []
        for batch in self.batches.epoch(self.epoch, self.batch):
            waiting.append(batch)
            remaining -= 1
            if len(waiting) == self.schedule.accumulate or not remaining:
                yield waiting, not remaining
                waiting = []

    def _due(self, end_of_epoch: bool) -> bool:
        every = self.schedule.validate_every
        return end_of_epoch if every is None else self.step % every == 0

    def _validate(self, progress: Progress) -> dict:
        self.model.eval()
        metrics, samples = self.validate()
        self.model.train()
        self.validated_at = self.step
        self.run.record(self.step, **metrics)
        if samples:
            self.run.write_samples(self.step, samples)
        if self.monitor is not None:
            self.monitor.save(self.run.path)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.say(progress, f"validation after {self.step:,} steps (epoch {self.epoch + (self.batch > 0)}): {shown}")
        for source, reference, hypothesis in samples:
            self.say(progress, f"    source:     {source}\n    reference:  {reference}\n    hypothesis: {hypothesis}")
        self._judge(metrics, progress)
        self.save("last")
        if self.schedule.keep > 1:
            self.save(self.step)
            self.run.prune(self.schedule.keep)
        self.run.draw_curves()
        return metrics

    def _judge(self, metrics: dict, progress: Progress) -> None:
        """Keep the best checkpoint, and stop on a plateau or when the result is good enough."""
        name = self.schedule.metric
        value = metrics[name]
        sign = -1 if name == "valid_loss" else 1
        # Higher is better; of equal ones, such as two exact matches of 100 %, the lower loss.
        mark = [-math.inf if math.isnan(x) else x for x in (sign * value, -metrics["valid_loss"])]
        if self.best is None or mark > self.best:
            self.best, self.since_best = mark, 0
            self.save("best")
        else:
            self.since_best += 1
            if self.schedule.patience and self.since_best >= self.schedule.patience:
                self.stopping = f"{name} has not improved for {self.since_best} validations: stopping early"
        if self.schedule.enough is not None and sign * value >= sign * self.schedule.enough:
            self.stopping = f"{name} has reached {value:.4g}: enough"

    def _stop(self) -> None:
        self.stopping = "interrupted: saving and validating"

    # -- stopping and going on ------------------------------------------------------------------------------------------

    def save(self, name: str | int) -> None:
        """Write a checkpoint that :meth:`resume` can go on from."""
        arrays = {f"model.{key}": np.asarray(raw(value)) for key, value in self.model.state_dict().items()}
        state = {
            "progress": {key: getattr(self, key) for key in _PROGRESS},
            "optimizer": _plain(self.optimizer.state_dict()),
            "scheduler": _plain(self.scheduler.state_dict()),
            "random": get_rng_state(),
            "carried": _plain(getattr(self.model, "carried", None)),
        }
        checkpoint.save(self.run.checkpoint(name), arrays, state)

    def resume(self) -> None:
        """Go on from the ``last`` checkpoint, as if there had been no interruption.

        Raises:
            CheckpointError: if there is none, or it does not fit the model or the optimizer.
        """
        path = self.run.checkpoint("last")
        if not path.exists():
            raise CheckpointError(f"{self.run.path} has no checkpoint yet: it was stopped too early; begin a new run")
        arrays, state = checkpoint.load(path, require=("progress", "optimizer", "scheduler", "random"))
        load_weights(self.model, arrays, path)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            set_rng_state(state["random"])
            for key in _PROGRESS:
                setattr(self, key, state["progress"][key])
            if state.get("carried") is not None:
                self.model.carried = state["carried"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} does not fit this run: {error}; use the checkpoint that this run wrote") from None
        self.run.rewind(self.step)


def load_weights(model: Any, arrays: dict[str, np.ndarray], path: Any) -> None:
    """Put the weights of a checkpoint into ``model``.

    Raises:
        CheckpointError: if their names or shapes are not the model's.
    """
    weights = {name.removeprefix("model."): Tensor(value) for name, value in arrays.items() if name.startswith("model.")}
    try:
        model.load_state_dict(weights)
    except (KeyError, RuntimeError) as error:
        mismatch = str(error)  # of a large model a list of hundreds of arrays
        mismatch = mismatch if len(mismatch) < 500 else f"{mismatch[:400]} ...; build the model as it was when it was saved"
        raise CheckpointError(f"{path} does not fit this model: {mismatch}") from None


def _plain(value: Any) -> Any:
    """A state with arrays in place of tensors, as a checkpoint stores it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return raw(value)
