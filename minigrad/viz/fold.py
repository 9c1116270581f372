"""Which operations of a record are shown as one: the tree of module calls, and what repeats in it.

Four layers of one kind, or fifty steps through time, are one structure that runs several times. Here the operations of every
later turn are mapped to their counterparts in the first. What follows each other in this way is a *repeat*; to count as one,
each turn must read something that the turn before it made (so three parallel projections stay three), or there must be many.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

_LONGEST = 64  # children of a module call that make up one turn
_PARALLEL = 6  # turns that need not read each other


class Call:
    """One call of a module, or, as the root, everything.

    Attributes:
        index: its place in ``record.calls``; -1 for the root.
        children: operations (ids) and calls, in the order in which they ran.
        ops: all operations inside, in that order.
    """

    __slots__ = ("children", "index", "level", "module", "ops", "parent", "signature", "type")

    def __init__(self, index: int, module: str, type_: str, parent: Call | None):
        self.index, self.module, self.type, self.parent = index, module, type_, parent
        self.level: int = parent.level + 1 if parent is not None else 0
        self.children: list[int | Call] = []
        self.ops: list[int] = []
        self.signature = 0

    def __repr__(self) -> str:
        return f"<call {self.index} of {self.module or self.type}: {len(self.ops)} operations>"


class Repeat:
    """``count`` turns of ``period`` children each, of which the first is shown."""

    __slots__ = ("calls", "count", "parallel", "seen", "shown")

    def __init__(self, shown: list[int | Call], count: int, parallel: bool, calls: list[list[Call]]):
        self.shown, self.count, self.parallel = shown, count, parallel
        self.calls = calls  # for each shown call, that call in all turns
        self.seen: set[int] = set()  # the turns of which something is drawn


class Tree:
    """The calls of the operations ``keep`` of a record, with repeats folded.

    Args:
        fold: whether to fold at all.
        apart: paths of modules that are to be seen in full: their calls, and those around them, are no part of a repeat.

    Attributes:
        root: the outermost Call.
        call_of: the Call around each operation.
        shown: what each operation is shown as: itself, or its counterpart in the first turn.
        turns: for each operation, (repeat, number of the turn) from the outermost repeat inwards.
        repeats: all of them.
    """

    def __init__(self, record, keep: list[int], fold: bool = True, apart: tuple[str, ...] = ()):
        self.record = record
        self.root = Call(-1, "", "", None)
        self.call_of: dict[int, Call] = {}
        self.calls: dict[int, Call] = {}
        self._build(keep)
        self.shown: dict[int, int] = {op: op for op in keep}
        self.turns: dict[int, tuple[tuple[Repeat, int], ...]] = dict.fromkeys(keep, ())
        self.repeats: list[Repeat] = []
        self.repeat_of: dict[int, Repeat] = {}  # id() of a shown child -> its repeat
        self._kept = set(keep)
        self._inputs: dict[int, list[int]] = defaultdict(list)
        for edge in record.edges:
            if edge["target"] in self._kept and edge["source"] in self._kept:
                self._inputs[edge["target"]].append(edge["source"])
        self._apart = apart
        if fold:
            self._sign()
            self._fold()
            self._resolve()

    def chain(self, op: int) -> list[Call]:
        """The calls around an operation, outermost first, without the root."""
        chain = []
        call = self.call_of[op]
        while call.parent is not None:
            chain.append(call)
            call = call.parent
        return chain[::-1]

    def _build(self, keep: list[int]) -> None:
        record = self.record
        for op in keep:
            scope = record.nodes[op]["scope"]
            missing = []
            while scope is not None and scope not in self.calls:
                missing.append(scope)
                scope = record.calls[scope]["parent"]
            call = self.root if scope is None else self.calls[scope]
            for index in reversed(missing):
                module = record.calls[index]["module"]
                inner = Call(index, module, record.modules[module]["type"], call)
                call.children.append(inner)
                self.calls[index] = call = inner
            call.children.append(op)
            self.call_of[op] = call
            around: Call | None = call
            while around is not None:
                around.ops.append(op)
                around = around.parent

    def _sign(self) -> None:
        """Give equal numbers to calls that ran the same operations on the same shapes."""
        numbers: dict[Any, int] = {}
        self._signature: dict[int, int] = {}
        for op in self.call_of:
            node = self.record.nodes[op]
            self._signature[op] = numbers.setdefault((node["op"], tuple(node["shape"]), node["dtype"]), len(numbers))
        for call in sorted(self.calls.values(), key=lambda call: -call.index):  # inner ones first
            inside = (call.type, *(self._signed(child) for child in call.children))
            call.signature = numbers.setdefault(inside, len(numbers))

    def _signed(self, child: int | Call) -> int:
        return child.signature if isinstance(child, Call) else self._signature[child]

    def _fold(self) -> None:
        open_ = [self.root]
        while open_:
            call = open_.pop()
            children = call.children
            signatures = [self._signed(child) for child in children]
            for i, child in enumerate(children):
                if isinstance(child, Call) and self._stands_apart(child):
                    signatures[i] = -1 - i  # like no other
            at = 0
            while at < len(children):
                period, count, parallel = self._best(children, signatures, at)
                if count > 1:
                    self._join(children, at, period, count, parallel)
                open_.extend(child for child in children[at : at + period] if isinstance(child, Call))
                at += period * count

    def _stands_apart(self, call: Call) -> bool:
        return any(path == call.module or path.startswith(f"{call.module}.") for path in self._apart if call.module)

    def _best(self, children, signatures: list[int], at: int) -> tuple[int, int, bool]:
        """(period, count, whether the turns are independent) of the repeat at ``at`` that covers most; (1, 1, _) for none."""
        best = 1, 1, False
        covered = 1
        for period in range(1, min(_LONGEST, (len(children) - at) // 2) + 1):
            if signatures[at] != signatures[at + period]:
                continue
            end = at + period
            while end < len(children) and signatures[end] == signatures[end - period]:
                end += 1
            count = (end - at) // period
            if count < 2 or period * count <= covered:
                continue
            linked = self._linked(children, at, period, count)
            modules = any(isinstance(child, Call) for child in children[at : at + period])
            if linked >= (2 if modules else 3):
                best, covered = (period, linked, False), period * linked
            elif count >= _PARALLEL and period == 1:
                best, covered = (period, count, True), period * count
        return best

    def _linked(self, children, at: int, period: int, count: int) -> int:
        """How many turns there are of which each reads what the one before it made."""
        before: set[int] = set()
        for turn in range(count):
            start = at + turn * period
            now = {op for child in children[start : start + period] for op in _ops(child)}
            if turn and not any(source in before for op in now for source in self._inputs[op]):
                return turn
            before = now
        return count

    def _join(self, children, at: int, period: int, count: int, parallel: bool) -> None:
        shown = children[at : at + period]
        turns = [children[at + turn * period : at + (turn + 1) * period] for turn in range(count)]
        calls = [[turn[i] for turn in turns] for i, child in enumerate(shown) if isinstance(child, Call)]
        repeat = Repeat(shown, count, parallel, calls)
        self.repeats.append(repeat)
        for child in shown:
            self.repeat_of[id(child) if isinstance(child, Call) else child] = repeat
        for i, first in enumerate(shown):
            for number, turn in enumerate(turns):
                for op, counterpart in zip(_ops(turn[i]), _ops(first)):
                    if number:
                        self.shown[op] = counterpart
                    self.turns[op] = (*self.turns[op], (repeat, number))

    def _resolve(self) -> None:
        """Follow every operation to the one that is shown, through repeats inside repeats."""
        for op in sorted(self.shown):
            target = self.shown[op]
            if target != op:  # older, and so resolved already
                self.shown[op] = self.shown[target]
                inner = self.turns[target][len(self.turns[op]) :]
                self.turns[op] = (*self.turns[op], *inner)


def _ops(child: int | Call) -> list[int]:
    return child.ops if isinstance(child, Call) else [child]
