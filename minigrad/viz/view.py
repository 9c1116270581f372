"""What of a record is drawn: boxes, the module calls around them, and the arrows between them.

A picture has at most a certain number of boxes. Modules are opened to a depth and closed below; the depth is the largest with
which the picture stays within the limit. What repeats is drawn once (see :mod:`minigrad.viz.fold`), and whatever is said of it
is then said of all turns: a range of norms, a sum of counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..errors import UsageError
from .fold import Call, Tree
from .record import Record

_SHARED_INPUT = 4  # uses from which on an input is drawn as a stub at each


class Box:
    """One thing that is drawn.

    Attributes:
        key: its name in the picture: stable from one drawing of a record to the next.
        kind: "operation", "module" (a closed call), "parameter", "input", "constant", or "more" (what had no room).
        members: the record's nodes that it stands for.
        home: the opened call that it is drawn in; None at the top.
        call: the closed call, of a module; the call whose only operation this is, of such an operation.
        count: how many turns it stands for; ``each``, the members in the first of them.
    """

    def __init__(self, key: str, kind: str, home: Call | None):
        self.key, self.kind, self.home = key, kind, home
        self.members: list[int] = []
        self.call: Call | None = None
        self.count = 1
        self.norms: list[float] = []  # of the gradients of its results
        self.bad = 0  # elements of those that are NaN or infinite
        self.shapes: list[tuple] = []  # of its results
        self.parameters = 0  # numbers learned inside, in one turn
        self.each: list[int] = []


class Arrow:
    """All uses of one box by another.

    Attributes:
        uses: the record's edges.
        carried: whether it leads from one turn of a repeat to the next.
        gains: for each turn, how many times as large the gradient is behind the consumer as before it; may be empty.
    """

    def __init__(self, source: Box, target: Box, carried: bool):
        self.source, self.target, self.carried = source, target, carried
        self.uses: list[dict[str, Any]] = []
        self.gains: list[float] = []
        self.bad = 0

    @property
    def gain(self) -> float | None:
        """The middle one of the gains, by size; None where none is known."""
        known = sorted(self.gains)
        return known[len(known) // 2] if known else None

    @property
    def gradient(self) -> bool:
        """Whether gradients flow back along it."""
        return any(use["gradient"] for use in self.uses)

    @property
    def norms(self) -> list[float]:
        """The norms of what flowed back along it."""
        return [use["contribution"]["norm"] for use in self.uses if use["contribution"]]


class View:
    """The boxes and arrows for some roots of a record.

    Args:
        roots: ids of the nodes whose history is drawn.
        depth: how many levels of module calls are opened at most; None for as many as there is room for.
        max_nodes: boxes at most.
        fold: draw what repeats once.
        focus: the path of a module that is opened in full, with all around it closed.
        constants: draw arrays that are neither learned nor an argument of the outermost module.

    Attributes:
        boxes, arrows: in a stable order, by the time at which they first ran.
        depth: the depth that was used; ``deepest`` is how many levels there are.
        dropped: operations that there was no room for.
    """

    def __init__(
        self,
        record: Record,
        roots: list[int],
        *,
        depth: int | None = None,
        max_nodes: int = 300,
        fold: bool = True,
        focus: str | None = None,
        constants: bool = False,
    ):
        self.record, self.focus, self.constants = record, focus, constants
        self.roots = set(roots)
        self.kept = _behind(record, roots)
        ops = [i for i in self.kept if record.nodes[i]["kind"] == "operation"]
        # Turns are alike even where not all of the last one's results were used, so all that ran in between is looked at.
        nodes = record.nodes[ops[0] : ops[-1] + 1] if ops else []
        around = [n["id"] for n in nodes if n["kind"] == "operation" and (n["id"] in self.kept or "during" not in n)]
        self.total = len(self.kept)
        if focus is not None:
            self._check_focus(focus)
        self.tree = Tree(record, around, fold, (focus,) if focus else ())
        for op in ops:
            for repeat, number in self.tree.turns[op]:
                repeat.seen.add(number)
        self.deepest = max((len(self.tree.chain(op)) for op in ops), default=0)
        self._edges = [e for e in record.edges if e["target"] in self.kept and e["source"] in self.kept]
        self._sources: dict[int, list[dict]] = defaultdict(list)
        self._readers: dict[int, list[dict]] = defaultdict(list)
        for edge in self._edges:
            self._sources[edge["target"]].append(edge)
            self._readers[edge["source"]].append(edge)
        self.uses = {i: len(self._readers[i]) for i in self.kept}
        self.dropped = 0
        wanted = self.deepest if depth is None else min(depth, self.deepest)
        if focus is not None and depth is None:
            wanted = 1
        for self.depth in range(wanted, -1, -1):
            self._lay_out()
            if len(self.boxes) <= max_nodes:
                break
        self.over_limit = self.depth < wanted
        if len(self.boxes) > max_nodes:
            self._drop_oldest(max_nodes)

    def _check_focus(self, focus: str) -> None:
        called = {call["module"] for call in self.record.calls}
        if focus not in called:
            near = [path for path in called if path] or ["none"]
            raise UsageError(
                f"the focus is the path of a module that ran: got {focus!r}; there are {', '.join(sorted(near)[:30])}"
            )

    # -- boxes ----------------------------------------------------------------------------------------------------------

    def _opened(self, call: Call) -> bool:
        if self.focus and (self.focus == call.module or self.focus.startswith(f"{call.module}." if call.module else "")):
            return True
        inside = self.focus is not None and call.module.startswith(f"{self.focus}.")
        return inside or call.level <= self.depth

    def _lay_out(self) -> None:
        self.boxes: dict[str, Box] = {}
        self._box_of: dict[int, Box] = {}
        self._levels: dict[int, int] = {}  # op -> where in its chain the closed call is
        single: dict[int, bool] = {}
        for op in self.kept:
            if self.record.nodes[op]["kind"] == "operation":
                self._place(op, single)
        self._arrows()
        self._stubs()
        for box in self.boxes.values():
            self._describe(box)
        for arrow in self.arrows.values():
            self._gains(arrow)
        self._order()

    def _place(self, op: int, single: dict[int, bool]) -> None:
        shown = self.tree.shown[op]
        chain = self.tree.chain(shown)
        closed = next((i for i, call in enumerate(chain) if not self._opened(call)), None)
        if closed is not None:
            call = chain[closed]
            key, kind, home = f"m{call.index}", "module", chain[closed - 1] if closed else None
        else:
            call = None
            key, kind, home = f"n{shown}", "operation", chain[-1] if chain else None
            # The only operation of a module needs no frame around it: it bears the module's name.
            while home is not None and self._only(home, single):
                call, home = home, home.parent if home.parent is not None and home.parent.parent is not None else None
        box = self.boxes.get(key)
        if box is None:
            box = self.boxes[key] = Box(key, kind, home)
            box.call = call
        if closed is not None:
            self._levels[op] = closed
        box.members.append(op)
        self._box_of[op] = box

    def _only(self, call: Call, single: dict[int, bool]) -> bool:
        known = single.get(call.index)
        if known is None:
            known = single[call.index] = len({self.tree.shown[op] for op in call.ops}) == 1
        return known

    # -- arrows ---------------------------------------------------------------------------------------------------------

    def _arrows(self) -> None:
        self.arrows: dict[tuple[str, str, bool], Arrow] = {}
        for edge in self._edges:
            source, target = self._box_of.get(edge["source"]), self._box_of.get(edge["target"])
            if source is None or target is None:
                continue
            carried = self._between_turns(edge["source"], edge["target"])
            if source is target and not carried:
                continue
            if source is target and source.kind == "module" and self._same_call(edge):
                continue
            key = (source.key, target.key, carried)
            if key not in self.arrows:
                self.arrows[key] = Arrow(source, target, carried)
            self.arrows[key].uses.append(edge)

    def _between_turns(self, source: int, target: int) -> bool:
        """Whether an edge leads to another turn of a repeat that both ends are in."""
        for (repeat, number), (other, number_there) in zip(self.tree.turns[source], self.tree.turns[target]):
            if repeat is not other:
                return False
            if number != number_there:
                return not repeat.parallel
        return False

    def _same_call(self, edge: dict) -> bool:
        level = self._levels[edge["source"]]
        chains = self.tree.chain(edge["source"]), self.tree.chain(edge["target"])
        return len(chains[0]) > level and len(chains[1]) > level and chains[0][level] is chains[1][level]

    def _stubs(self) -> None:
        """Boxes for parameters, inputs and constants: one at each consumer, or one for an input with few consumers."""
        for leaf in self.kept:
            node = self.record.nodes[leaf]
            if node["kind"] == "operation":
                continue
            readers: dict[str, list[dict]] = defaultdict(list)
            for edge in self._readers[leaf]:
                readers[self._box_of[edge["target"]].key].append(edge)
            shared = node["kind"] == "input" and len(readers) < _SHARED_INPUT
            for key, edges in readers.items():
                target = self.boxes[key]
                if node["kind"] == "parameter" and target.kind == "module":
                    continue
                if node["kind"] == "constant" and (target.kind == "module" or not self.constants) and not node["name"]:
                    continue
                argument = edges[0]["argument"]
                name = f"i{leaf}" if shared else f"{node['kind'][0]}_{key}_{argument}"
                box = self.boxes.get(name)
                if box is None:
                    box = self.boxes[name] = Box(name, node["kind"], None if shared else target.home)
                if leaf not in box.members:
                    box.members.append(leaf)
                arrow = self.arrows.setdefault((name, key, False), Arrow(box, target, False))
                arrow.uses.extend(edges)
            if not readers and leaf in self.roots:
                self.boxes[f"i{leaf}"] = box = Box(f"i{leaf}", node["kind"], None)
                box.members.append(leaf)

    def _instance(self, op: int):
        """Which of the things that its box stands for an operation is part of."""
        level = self._levels.get(op)
        return op if level is None else self.tree.chain(op)[level].index

    # -- numbers --------------------------------------------------------------------------------------------------------

    def _describe(self, box: Box) -> None:
        nodes = self.record.nodes
        results = box.members
        if box.kind == "module":
            members = set(box.members)
            results = [
                op for op in box.members
                if op in self.roots or any(e["target"] not in members or not self._same_call(e) for e in self._readers[op])
            ] or box.members[-1:]  # fmt: skip
        if box.kind in ("operation", "module"):
            box.count = len({self._instance(op) for op in box.members})
            first = self._instance(box.members[0])
            box.each = [op for op in box.members if self._instance(op) == first]
            leaves = {e["source"] for op in box.each for e in self._sources[op] if nodes[e["source"]]["kind"] == "parameter"}
            box.parameters = sum(math.prod(nodes[leaf]["shape"]) for leaf in leaves)
        else:
            box.parameters = math.prod(nodes[box.members[0]]["shape"]) if box.kind == "parameter" else 0
        box.shapes = list(dict.fromkeys(tuple(nodes[op]["shape"]) for op in results))
        for op in results:
            grad = nodes[op]["grad"]
            if grad is not None:
                box.norms.append(grad["norm"])
                box.bad += grad["nan"] + grad["inf"]

    def _gains(self, arrow: Arrow) -> None:
        arrow.gains = []
        for use in arrow.uses:
            contribution = use["contribution"]
            if contribution is None:
                continue
            arrow.bad += contribution["nan"] + contribution["inf"]
            if arrow.target.kind != "module" and contribution["gain"] is not None:
                arrow.gains.append(contribution["gain"])
        if arrow.target.kind == "module":
            self._gains_of_module(arrow)

    def _gains_of_module(self, arrow: Arrow) -> None:
        """The gains over whole calls: what came back to a tensor over what came to the call's result.

        Known where a call uses the tensor once, or where all uses of the tensor are in it.
        """
        nodes = self.record.nodes
        by_call: dict[tuple[int, int], list[dict]] = defaultdict(list)
        for use in arrow.uses:
            if use["contribution"] is not None:
                call = self.tree.chain(use["target"])[self._levels[use["target"]]]
                by_call[use["source"], call.index].append(use)
        for (source, index), uses in by_call.items():
            inside = set(self.tree.calls[index].ops)
            results = [op for op in inside if any(e["target"] not in inside for e in self._readers[op]) or op in self.roots]
            grads = [nodes[op]["grad"] for op in results]
            if len(grads) != 1 or grads[0] is None or not grads[0]["norm"] or grads[0]["nan"] + grads[0]["inf"]:
                continue
            if len(uses) == 1:
                arrow.gains.append(uses[0]["contribution"]["norm"] / grads[0]["norm"])
            elif nodes[source]["grad"] and all(e["target"] in inside for e in self._readers[source] if e["gradient"]):
                arrow.gains.append(nodes[source]["grad"]["norm"] / grads[0]["norm"])

    # -- order and limits -----------------------------------------------------------------------------------------------

    def _order(self) -> None:
        def first(box: Box) -> tuple:
            return (box.members[0], box.key)

        self.boxes = {box.key: box for box in sorted(self.boxes.values(), key=first)}
        keys = sorted(self.arrows, key=lambda key: (first(self.boxes[key[1]]), first(self.boxes[key[0]]), key[2]))
        self.arrows = {key: self.arrows[key] for key in keys}

    def _drop_oldest(self, room: int) -> None:
        """Keep what ran last, nearest to the roots; one box stands for the rest."""
        gone = {box.key for box in list(self.boxes.values())[: len(self.boxes) - max(room - 1, 1)]}
        still = {m for key, box in self.boxes.items() if key not in gone for m in box.members}
        more = Box("more", "more", None)
        more.members = sorted({m for key in gone for m in self.boxes[key].members} - still)
        self.dropped = len(more.members)
        boxes = {"more": more, **{key: box for key, box in self.boxes.items() if key not in gone}}
        arrows: dict[tuple[str, str, bool], Arrow] = {}
        for (source, target, carried), arrow in self.arrows.items():
            if target in gone:
                continue
            if source in gone:
                key = ("more", target, carried)
                arrows.setdefault(key, Arrow(more, arrow.target, carried)).uses.extend(arrow.uses)
            else:
                arrows[source, target, carried] = arrow
        self.boxes, self.arrows = boxes, arrows

    @property
    def gradients(self) -> bool:
        """Whether any gradient of what is drawn is known."""
        return any(self.record.nodes[i]["grad"] is not None for i in self.kept)


def _behind(record: Record, roots: Iterable[int]) -> dict[int, None]:
    """The roots and all that they were computed from, oldest first."""
    sources: dict[int, list[int]] = defaultdict(list)
    for edge in record.edges:
        sources[edge["target"]].append(edge["source"])
    seen = set(roots)
    stack = [*seen]
    while stack:
        for source in sources[stack.pop()]:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return dict.fromkeys(sorted(seen))


def default_roots(record: Record) -> list[int]:
    """Where the last backward pass began; without one, the last operation that nothing else used."""
    for one in reversed(record.passes):
        if one["finished"]:
            return list(dict.fromkeys(one["roots"]))
    used = {edge["source"] for edge in record.edges}
    ends = [node["id"] for node in record.nodes if node["kind"] == "operation" and node["id"] not in used]
    if not ends:
        raise UsageError("there is nothing to draw: no operation ran while the record was open")
    return ends[-1:]
