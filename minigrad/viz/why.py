"""``viz.why``: where a gradient came from.

A tensor that is used several times gets a gradient from each use, and the tape adds them up. Here they are looked at one by
one: the steps through time that a recurrent weight was used at, the branches of a residual connection, the layers that share a
matrix. Where they point in opposite directions they cancel, and a small gradient may hide large ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..autograd import _place, _roots, _run
from ..errors import GraphError, UsageError
from ..gradmode import no_grad
from ..observer import Observer
from ..primitive import Node, state
from ..tensor import Tensor
from .record import Record
from .statistics import cosine, norm
from .wording import dims, number, shortened

_ROWS = 64  # uses that a printed table shows; the largest


@dataclass(frozen=True)
class Use:
    """One use of a tensor, and what it sent back.

    Attributes:
        operation, argument: what used it, and as what.
        module, call: the path of the module that did, and which of its calls it was, from 0; None where no record knows.
        line: where the user's code was, as "file:number"; None where no record knows.
        norm: of the contribution.
        share: of the gradient: the contribution's part along it, over its length. The shares add up to 1; a negative one
            works against the rest. None where the gradient is zero or not finite.
        cosine: of the angle between the contribution and the gradient, from -1 (against it) to 1 (along it), or None.
        bad: how many elements are NaN or infinite.
    """

    operation: str
    argument: str
    module: str | None
    call: int | None
    line: str | None
    norm: float
    share: float | None
    cosine: float | None
    bad: int

    @property
    def place(self) -> str:
        """The use in words."""
        where = f" in {self.module}" if self.module else ""
        where += f", call {self.call + 1}" if self.call else ""
        return f"{self.operation} ({self.argument}){where}"


class Why:
    """Where a gradient came from: made by :func:`why`, shown by ``print``.

    Attributes:
        name: of the tensor, if it has one.
        shape: of the tensor.
        norm: of its gradient.
        uses: what each use sent back, in the order of use.
        contributions: the arrays themselves, as the tape added them; None where they come from a record.
    """

    def __init__(self, name: str, shape: tuple, norm: float, uses: list[Use], contributions: list[np.ndarray] | None):
        self.name, self.shape, self.norm, self.uses, self.contributions = name, shape, norm, uses, contributions

    @property
    def cancelled(self) -> float:
        """How much of what was sent back cancelled out, from 0 (all uses agree) to 1: 1 - |sum| / sum of the norms."""
        together = sum(use.norm for use in self.uses)
        return max(0.0, 1 - self.norm / together) if together else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, for JSON and tables."""
        uses = [asdict(use) for use in self.uses]
        return {"name": self.name, "shape": list(self.shape), "norm": self.norm, "cancelled": self.cancelled, "uses": uses}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        name = f"{shortened(self.name)} " if self.name else ""
        lines = [f"gradient of {name}({dims(self.shape)}): norm {number(self.norm)}, from {_counted(len(self.uses), 'use')}"]
        if len(self.uses) > 1:
            lines[0] += f"; {self.cancelled:.0%} of what they sent back cancelled out"
        largest = sorted(range(len(self.uses)), key=lambda i: -_size(self.uses[i]))[:_ROWS]
        shown = sorted(largest)
        longest = max((abs(use.share) for use in self.uses if use.share is not None), default=0.0)
        width = max([3, *(len(shortened(self.uses[i].place, 56)) for i in shown)])
        lines.append(f"{'#':>4}  {'use':{width}}  {'norm':>9}  {'share':>8}  {'cosine':>6}  against ◂ ▸ along")
        for i in shown:
            use = self.uses[i]
            share = "" if use.share is None else f"{use.share:.1%}"
            angle = "" if use.cosine is None else f"{use.cosine:+.2f}"
            end = f"  {use.line}" if use.line else ""
            bad = f"  {use.bad:,} NaN or infinite" if use.bad else ""
            row = f"{i + 1:>4}  {shortened(use.place, 56):{width}}  {number(use.norm):>9}  {share:>8}  {angle:>6}"
            lines.append(f"{row}  {_bar(use.share, longest)}{bad}{end}".rstrip())
        left = [use for i, use in enumerate(self.uses) if i not in set(largest)]
        if left:
            share = sum(use.share or 0.0 for use in left)
            lines.append(f"{'…':>4}  {_counted(len(left), 'smaller use'):{width}}  {'':>9}  {share:>8.1%}")
        return "\n".join(lines)


def why(what, tensor, *, gradient=None, record: Record | None = None) -> Why:
    """Where the gradient of ``tensor`` came from: what each of its uses sent back, exactly as the tape adds it.

    Args:
        what: the result to differentiate, a Tensor: a backward pass of its own runs, which leaves every ``.grad`` alone and the
            graph usable. Or a :class:`Record`, and what was seen in its last backward pass is read from there.
        tensor: a leaf or an intermediate result; with a record also a parameter's name, or a node's id.
        gradient: of the objective with respect to ``what``, where that has more than one element.
        record: the record that was open while ``what`` was computed: it knows the modules and lines of the uses.

    Raises:
        GraphError: if the graph was used up by a backward pass, or ``tensor`` does not take part.
        UsageError: if the record has no such tensor, or no gradient for it.
    """
    if isinstance(what, Record):
        return _from_record(what, tensor)
    if not isinstance(what, Tensor) or not isinstance(tensor, Tensor):
        wrong = what if not isinstance(what, Tensor) else tensor
        raise UsageError(f"why() takes a Tensor or a Record, and a tensor behind it: got {type(wrong).__name__}")
    for role, t in (("result", what), ("tensor", tensor)):
        if not t.requires_grad:
            raise GraphError(f"why() follows gradients, and the {role} does not require any: set requires_grad=True")
    return _from_tape(what, tensor, gradient, record)


class _Collector(Observer):
    """Keeps what is sent back to one place."""

    def __init__(self, place):
        self.place = place
        self.found: list[tuple[Node, int, np.ndarray]] = []
        self.depth = 0

    def on_pass(self, roots) -> None:
        self.depth += 1

    def on_pass_end(self, results) -> None:
        self.depth -= 1

    def on_backward(self, node, g, gradients) -> None:
        if self.depth == 1:  # not what runs inside an operation, such as a checkpoint
            for i, contribution in gradients:
                if contribution is not None and node.edges[i] is self.place:
                    self.found.append((node, i, np.array(contribution)))


def _from_tape(what: Tensor, tensor: Tensor, gradient, record: Record | None) -> Why:
    place = _place(tensor)
    roots = _roots([what], [gradient], False)
    collector = _Collector(place)
    state.observers = (*state.observers, collector)
    try:
        with no_grad(), np.errstate(all="ignore"):
            results = _run(roots, True, False, {place})
    except GraphError as error:
        if "already used by a backward pass" not in str(error):
            raise
        raise GraphError(
            "why() needs what the graph saved, and a backward pass freed that: call it before backward(), or pass "
            "retain_graph=True there"
        ) from None
    finally:
        state.observers = tuple(o for o in state.observers if o is not collector)
    if place not in results:
        raise GraphError("the tensor does not take part in this result, so no gradient comes from it")
    whole = np.asarray(results[place])
    found = sorted(collector.found, key=lambda entry: (entry[0].seq, entry[1]))
    contributions = [array for _, _, array in found]
    uses = []
    known = record.node(tensor) if record is not None else None
    for node, i, array in found:
        argument = str(node.primitive.argument(i))
        number_ = None if record is None else record._number(node)
        seen = record.nodes[number_] if record is not None and number_ is not None else None
        uses.append(_use(seen, node.name, argument, array, whole))
    if place is roots[0][0]:
        seed = np.asarray(roots[0][1])
        uses.append(_use(None, "backward", "where it begins", seed, whole))
        contributions.append(seed)
    name = known["name"] or "" if known is not None else ""
    return Why(name, tensor.shape, norm(whole), uses, contributions)


def _use(seen: dict | None, operation: str, argument: str, array: np.ndarray, whole: np.ndarray) -> Use:
    angle, length, total = cosine(array, whole), norm(array), norm(whole)
    share = angle * length / total if angle is not None else 0.0 if length == 0 and total > 0 else None
    bad = int(array.size - np.isfinite(array).sum())
    module, call, line = _known(seen)
    return Use(operation, argument, module, call, line, length, share, angle, bad)


def _known(node: dict | None) -> tuple[str | None, int | None, str | None]:
    if node is None:
        return None, None, None
    line = node["line"]
    return node["module"], node["call"], None if line is None else f"{line['file'].rpartition('/')[2]}:{line['number']}"


def _from_record(record: Record, which) -> Why:
    node = record.node(which)
    grad = node["grad"]
    if grad is None:
        reason = "no gradient came to it" if record.has_backward else "it was made before backward()"
        raise UsageError(f"the record has no gradient for this tensor: {reason}")
    edges = []
    for edge in record.uses(node["id"]):
        contribution, target = edge["contribution"], record.nodes[edge["target"]]
        if contribution and contribution["pass"] == grad["pass"] != target.get("during"):
            edges.append((edge, contribution, target))
    uses = []
    for edge, contribution, target in edges:
        angle, length = contribution["cosine"], contribution["norm"]
        bad = contribution["nan"] + contribution["inf"]
        if len(edges) == 1 and length and not bad:
            angle = 1.0
        share = None
        if grad["norm"] and not grad["nan"] + grad["inf"]:
            share = 0.0 if not length else None if angle is None else angle * length / grad["norm"]
        uses.append(Use(target["op"], edge["argument"], *_known(target), length, share, angle, bad))
    return Why(node["name"] or "", tuple(node["shape"]), grad["norm"], uses, None)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _size(use: Use) -> float:
    return float("inf") if use.bad else use.norm


def _bar(share: float | None, longest: float, width: int = 8) -> str:
    """The share as a bar around a middle, to the left where it works against the gradient; the longest fills its half."""
    if share is None or not longest:
        return " " * (2 * width + 1)
    cells = round(abs(share) / longest * width)
    left, right = ("█" * cells, "") if share < 0 else ("", "█" * cells)
    return f"{left:>{width}}│{right:<{width}}"


__all__ = ["Use", "Why", "why"]
