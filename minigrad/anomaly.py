"""Who made the first NaN? Inside :class:`detect_anomaly`, every value and every gradient is looked at as it appears."""

from __future__ import annotations

import linecache
import os
import sys

import numpy as np

from .errors import AnomalyError
from .observer import Observer
from .primitive import state
from .tensor import Tensor

_SKIPPED = tuple(os.path.dirname(os.path.abspath(path)) + os.sep for path in (__file__, np.__file__))


def user_line() -> str:
    """The line of the user's code that is running: the innermost one outside this package and NumPy."""
    frame = sys._getframe(1)
    while frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(_SKIPPED):
        frame = frame.f_back
    if frame is None:
        return "an unknown line"
    path, number = frame.f_code.co_filename, frame.f_lineno
    code = linecache.getline(path, number).strip()
    return f"{os.path.basename(path)}:{number}" + (f" ({code})" if code else "")


def _trouble(array) -> str | None:
    """NaN or infinite, whichever is in ``array`` first of these; None if it is finite."""
    if not isinstance(array, (np.ndarray, np.generic)) or array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return "NaN" if np.isnan(array).any() else "infinite"


class detect_anomaly(Observer):
    """Context manager: raise where a value or a gradient first becomes NaN or infinite.

    An operation is blamed if its inputs were finite and its result is not; an infinity that came in on purpose, as in an
    attention mask, passes, but a NaN that came in does not. Costs a pass over every array, so it is for looking, not for
    training.

    Raises:
        AnomalyError: naming the operation, the line of code that made it, and whether its value or a gradient went wrong.
    """

    def __init__(self, check_nan: bool = True):
        self.check_nan = check_nan

    def __enter__(self):
        self._quiet = np.errstate(all="ignore")  # what NumPy would warn of is looked at here
        self._quiet.__enter__()
        state.observers = (*state.observers, self)
        return self

    def __exit__(self, *exc_info):
        state.observers = tuple(o for o in state.observers if o is not self)
        self._quiet.__exit__(*exc_info)

    def on_forward(self, primitive, args, result) -> None:
        """Called with every operation's result."""
        line = user_line()
        node = result._node
        if node is not None:
            node.extra = {**(node.extra or {}), "line": line}
        if not self.check_nan:
            return
        found = _trouble(result._data)
        if found is None:
            return
        infinite = None
        for name, a in zip(primitive.argnames, args):
            came = _trouble(a._data if isinstance(a, Tensor) else np.asarray(a) if isinstance(a, float) else a)
            if came == "NaN":
                raise AnomalyError(
                    f"{primitive.name} at {line} was given a NaN as its argument {name!r}: look at where that came from"
                )
            infinite = infinite or (came and name)
        if infinite and found == "infinite":
            return
        shapes = ", ".join(str(a.shape) for a in args if isinstance(a, Tensor))
        cause = f"from an infinite {infinite!r} among" if infinite else "from finite"
        raise AnomalyError(f"the value of {primitive.name} became {found} at {line}, {cause} inputs of shape {shapes}")

    def on_backward(self, node, g, gradients) -> None:
        """Called with every gradient that a rule computes."""
        if not self.check_nan:
            return
        line = (node.extra or {}).get("line", "a line outside detect_anomaly")
        came = _trouble(g._data if isinstance(g, Tensor) else g)
        if came:  # every rule before this one gave finite gradients
            raise AnomalyError(
                f"the gradient of the result of {node.name} at {line} is {came}: it came into backward() like that, a hook "
                "made it so, or the gradients of its several uses add up to it"
            )
        for i, gradient in gradients:
            found = _trouble(gradient._data if isinstance(gradient, Tensor) else gradient)
            if found:
                raise AnomalyError(
                    f"the gradient of {node.name} became {found}: the operation at {line} got a finite gradient and gave its "
                    f"argument {node.primitive.argument(i)!r} one that is not"
                )
