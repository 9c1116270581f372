"""Who changed an array that the tape still needs?

A gradient rule reads values that were saved when the operation ran. If somebody has changed them since, the gradient is
silently wrong, so the backward pass must find out. Arrays can change in two ways:

- through minigrad: ``x[0] = 1``, ``x += y``, an optimizer's step. Each such write is noted here with the time. A node saved
  earlier than the last write to one of its arrays raises.
- behind its back: ``x.data[0] = 1`` or ``x.numpy()[...] = ...``. No one reports these, so while such an array is in somebody's
  hands its memory counts as lent, and a checksum tells, whenever a node saves it or wants to read it back, whether it was
  changed in between. The loan ends when the last array that was handed out, and the last view of it, is gone.

Arrays that share memory share one entry, because views are traced to the array that owns their memory. Where nothing was
written and nothing is lent, all this costs two empty-dictionary tests per operation.
"""

from __future__ import annotations

import itertools
import sys
import weakref
import zlib

import numpy as np

from .errors import GraphError

clock = itertools.count(1)  # one time line for recordings and writes


class Loan:
    """Memory that code outside minigrad can write to.

    ``handles`` are weak references to the buffers handed out; ``adopted``, that the owning array itself came from outside;
    ``known``, the checksum when a node last saved the memory, or None if no node has.
    """

    __slots__ = ("adopted", "handles", "known", "root")

    def __init__(self, root: np.ndarray):
        self.root = weakref.ref(root, _forget(lent, id(root)))
        self.handles: dict[int, weakref.ref] = {}
        self.adopted = False
        self.known: int | None = None


written: dict[int, tuple] = {}  # id of the owning array -> (time of the last write, weak reference)
recorded: dict[int, tuple] = {}  # the same, for the last write that is an operation on the tape
lent: dict[int, Loan] = {}  # id of the owning array -> its loan


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory ``array`` shows: itself, or the one at the end of its chain of views."""
    base = array.base
    while base is not None:
        if isinstance(base, memoryview):
            base = base.obj
        if not isinstance(base, np.ndarray):
            break
        array, base = base, base.base
    return array


def checksum(array: np.ndarray) -> int:
    """A number that changes when any value of ``array`` does."""
    flat = np.ascontiguousarray(array.ravel(order="K"))
    return zlib.crc32(flat.view(np.uint8).data) if flat.size else 0


def _forget(table, key):
    return lambda reference: table.pop(key, None)


def note_write(array, on_tape: bool = False) -> None:
    """Remember that the memory behind ``array`` is about to change, or just has; ``on_tape``, by a recorded operation."""
    if isinstance(array, np.ndarray):
        root, time = owner(array), next(clock)
        _note(written, root, time)
        if on_tape:
            _note(recorded, root, time)


def _note(table: dict[int, tuple], root: np.ndarray, time: int) -> None:
    key = id(root)
    entry = table.get(key)
    table[key] = (time, entry[1] if entry else weakref.ref(root, _forget(table, key)))


# -- arrays in the hands of others --------------------------------------------------------------------------------------


def _shown(array: np.ndarray) -> np.ndarray:
    """A view of ``array`` with a buffer of its own, which every view taken from it keeps alive in turn.

    NumPy shortens chains of views, so a plain ``array.view()`` could go while a slice of it lives on; a memoryview at its base
    cannot.
    """
    return np.asarray(array.data)  # a memoryview


def _unshared() -> int:
    array = np.zeros(1)
    elsewhere = [array]
    count = sys.getrefcount(array)
    del elsewhere
    return count


UNSHARED = _unshared()  # what sys.getrefcount says of an array that a local name and one other place hold


def lend(tensor) -> np.ndarray:
    """The array of ``tensor``, to be handed to code that may write to it unseen."""
    array = tensor._data
    if not isinstance(array, np.ndarray):  # a NumPy scalar, which cannot change
        array = tensor._data = np.asarray(array)
    saved = array.base is not None or sys.getrefcount(array) > UNSHARED  # if only the tensor holds it, no node has saved it
    shown = _shown(array)
    root = owner(array)
    key = id(root)
    loan = lent.get(key)
    if loan is None:
        loan = lent[key] = Loan(root)
        if saved:
            loan.known = checksum(root)
    handle = weakref.ref(shown.base, _returned(key))  # pyright: ignore - it is a memoryview
    loan.handles[id(handle)] = handle
    return shown


def _returned(key: int):
    def end(handle) -> None:
        loan = lent.get(key)
        if loan is None or loan.handles.pop(id(handle), None) is None:
            return
        if not loan.handles and not loan.adopted:
            if loan.known is not None:
                look(loan, next(clock))
            lent.pop(key, None)

    return end


def adopt(array: np.ndarray) -> np.ndarray:
    """``array``, which its owner may keep and write to, as it goes into a tensor: the same memory."""
    root = owner(array)
    loan = lent.get(id(root))
    base = array.base
    if loan is not None and isinstance(base, memoryview) and any(handle() is base for handle in loan.handles.values()):
        lender = base.obj
        if isinstance(lender, np.ndarray) and lender.__array_interface__ == array.__array_interface__:
            return lender  # the whole ``data`` of a tensor: minigrad's own memory comes back
    if loan is None:
        loan = lent[id(root)] = Loan(root)
        loan.known = checksum(root)
    loan.adopted = True
    return _shown(array)


def look(loan: Loan, time: int) -> None:
    """Find out whether lent memory was changed since the last look, and if so note that as a write at ``time``."""
    root = loan.root()
    if root is None:
        return
    now = checksum(root)
    if loan.known is not None and loan.known != now:
        _note(written, root, time)
    loan.known = now
    if loan.adopted and not loan.handles and root.base is None and sys.getrefcount(root) <= UNSHARED:
        lent.pop(id(root), None)  # whoever brought it holds it no longer


# -- the tape's questions -----------------------------------------------------------------------------------------------


def _look_at(values, time: int) -> None:
    for value in values:
        if isinstance(value, np.ndarray) and (loan := lent.get(id(owner(value)))) is not None:
            look(loan, time)


def on_record(node, args) -> None:
    """At recording time: refuse stale views, and look at the saved arrays that are lent."""
    if lent:
        _look_at(_needed(node), node.seq)  # a change came before this node, which has seen it
    if not recorded:
        return
    for a, edge in zip(args, node.edges):
        if edge is None or getattr(a, "_node", None) is None or not isinstance(a._data, np.ndarray):
            continue
        if a._data.base is not None:
            entry = recorded.get(id(owner(a._data)))
            if entry and entry[0] > a._node.seq:
                raise GraphError(
                    f"{node.name} got a view made by {a._node.name} of a tensor that was written to in place since: "
                    "take the view again after the write, or write to a .clone()"
                )


def _needed(node) -> list:
    """What a backward pass reads of ``node``; one that is itself recorded takes the arguments of a fused operation besides."""
    return [*node.saved, *(node.extra or {}).get("args", ())]


def check_saved(node, on_tape: bool = False) -> None:
    """At backward time: raise if an array that ``node`` saved has changed since it was recorded."""
    values = _needed(node) if on_tape else node.saved
    if lent:
        _look_at(values, next(clock))
    for k, value in enumerate(values):
        if isinstance(value, np.ndarray) and (entry := written.get(id(owner(value)))) and entry[0] > node.seq:
            names = node.plan.names
            what = f"the value of {names[k]!r}" if k < len(names) else "a value"
            raise GraphError(
                f"{node.name} needs {what} that it saw in the forward pass, but it was changed in place since: "
                "call backward() first, or write to a .clone()"
            )
