"""Who changed an array that the tape still needs?

A gradient rule reads values that were saved when the operation ran. If somebody has changed them since, the gradient is
silently wrong, so the backward pass must find out. Arrays can change in two ways:

- through minigrad: ``x[0] = 1``, ``x += y``, an optimizer's step. Each such write is noted here with the time. A node saved
  earlier than the last write to one of its arrays raises.
- behind its back: ``x.data[0] = 1`` or ``x.numpy()[...] = ...``. No one reports these, so an array that was handed out is
  remembered with a checksum, and the nodes that save it later take one of their own; the backward pass compares.

Arrays that share memory share one entry, because views are traced to the array that owns their memory. Where nothing was
written and nothing handed out, all this costs two empty-dictionary tests per operation.
"""

from __future__ import annotations

import itertools
import weakref
import zlib

import numpy as np

from .errors import GraphError

clock = itertools.count(1)  # one time line for recordings, writes and hand-outs

written: dict[int, tuple] = {}  # id of the owning array -> (time of the last write, weak reference)
exposed: dict[int, tuple] = {}  # id of the owning array -> (time of the first hand-out, checksum then, weak reference)


def owner(array: np.ndarray) -> np.ndarray:
    """The array whose memory ``array`` shows: itself, or the one at the end of its chain of views."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def checksum(array: np.ndarray) -> int:
    """A number that changes when any value of ``array`` does."""
    if array.dtype.hasobject:
        return 0
    flat = array.ravel(order="K")
    return zlib.crc32(np.ascontiguousarray(flat).view(np.uint8)) if flat.size else 0


def _forget(table, key):
    return lambda reference: table.pop(key, None)


def note_write(array) -> None:
    """Remember that the memory behind ``array`` is about to change, or just has."""
    if isinstance(array, np.ndarray):
        root = owner(array)
        key = id(root)
        entry = written.get(key)
        reference = entry[1] if entry else weakref.ref(root, _forget(written, key))
        written[key] = (next(clock), reference)


def note_exposure(array) -> None:
    """Remember that ``array`` is in the hands of code that may write to it unseen."""
    if isinstance(array, np.ndarray):
        root = owner(array)
        key = id(root)
        if key not in exposed:
            exposed[key] = (next(clock), checksum(root), weakref.ref(root, _forget(exposed, key)))


def on_record(node, args) -> None:
    """At recording time: refuse stale views, and take the checksums of saved arrays that others hold."""
    if written:
        for a, edge in zip(args, node.edges):
            if edge is None or getattr(a, "_node", None) is None or not isinstance(a._data, np.ndarray):
                continue
            if a._data.base is not None:
                entry = written.get(id(owner(a._data)))
                if entry and entry[0] > a._node.seq:
                    raise GraphError(
                        f"{node.name} got a view made by {a._node.name} of a tensor that was written to in place since: "
                        "take the view again after the write, or write to a .clone()"
                    )
    if exposed:
        prints = {}
        for k, value in enumerate(node.saved):
            if isinstance(value, np.ndarray) and id(owner(value)) in exposed:
                prints[k] = checksum(owner(value))
        if prints:
            node.extra = {**(node.extra or {}), "checksums": prints}


def check_saved(node) -> None:
    """At backward time: raise if an array that ``node`` saved has changed since it was recorded."""
    for k, value in enumerate(node.saved):
        if not isinstance(value, np.ndarray):
            continue
        root = owner(value)
        entry = written.get(id(root))
        changed = entry is not None and entry[0] > node.seq
        if not changed and (entry := exposed.get(id(root))):
            before = (node.extra or {}).get("checksums", {}).get(k) if node.seq > entry[0] else entry[1]
            changed = before is not None and before != checksum(root)
        if changed:
            raise GraphError(
                f"{node.name} needs the value of {node.plan.names[k]!r} that it saw in the forward pass, but it was changed in "
                "place since: call backward() first, or write to a .clone()"
            )
