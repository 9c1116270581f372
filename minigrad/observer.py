"""What looks on while the tape works: anomaly detection, records for pictures."""

from __future__ import annotations


class Observer:
    """What is told of every operation and every gradient while it is among ``state.observers``; this one does nothing.

    It must not change what it is given, nor keep it: arrays that somebody else holds are not reused.
    """

    def on_forward(self, primitive, args, result) -> None:
        """Called with every operation, its arguments, and its result (a Tensor; ``result._node`` is None off the tape)."""

    def on_pass(self, roots: list) -> None:
        """Called when a backward pass begins at ``roots``, pairs of (node or leaf, gradient). Passes can be nested."""

    def on_backward(self, node, g, gradients) -> None:
        """Called when the rules of ``node`` have run: on ``g``, the whole gradient of its result.

        ``gradients`` are pairs: an argument's position, and what the tape adds there, of its shape and dtype, or None.
        """

    def on_pass_end(self, results: dict | None) -> None:
        """Called when the pass is over, with the gradients it leaves at leaves or targets; None if it failed."""
