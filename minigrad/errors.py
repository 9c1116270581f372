"""The exceptions of minigrad. Every message states the rule, what came in, and the remedy.

Each class also derives from the built-in exception that PyTorch raises in the same place, so code written for one catches
the other.
"""


class MinigradError(Exception):
    """The root: ``except minigrad.errors.MinigradError`` catches whatever this package raises on purpose."""


class ShapeError(MinigradError, RuntimeError, ValueError):
    """Shapes that an operation cannot combine."""


class DimensionError(MinigradError, RuntimeError, IndexError):
    """A dimension or an index outside its range."""


class DTypeError(MinigradError, NotImplementedError, TypeError):
    """A dtype, or a kind of value, that an operation cannot take or, as PyTorch puts it, is not implemented for."""


class GraphError(MinigradError, RuntimeError):
    """Something the tape cannot do: a second backward, a write to a value that it still needs, no path to an input."""


class AnomalyError(MinigradError, RuntimeError):
    """A value or a gradient became NaN or infinite; the message names the operation and the line that made it."""


class StateError(MinigradError, RuntimeError, KeyError):
    """A state that does not fit its module or optimizer; the message lists the missing, unexpected and mis-shaped keys."""

    __str__ = Exception.__str__  # KeyError would print the repr, with its newlines escaped


class UsageError(MinigradError, RuntimeError, ValueError):
    """An argument or an option outside its rule."""


class ModuleNameError(UsageError, KeyError, AttributeError):
    """A name that a module does not have, or cannot take."""

    __str__ = Exception.__str__


class DataError(MinigradError, ValueError):
    """A corpus, file, vocabulary or column that cannot be used."""


class UnknownWordError(DataError, KeyError):
    """A word without a vector; the message names words spelled alike."""

    __str__ = Exception.__str__  # KeyError would print the repr, with its newlines escaped


class CheckpointError(MinigradError, RuntimeError):
    """A checkpoint or a run directory that cannot be read, written or continued."""


class MissingExtraError(MinigradError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""
