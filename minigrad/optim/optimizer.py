"""What all optimizers share: parameter groups, state, and the loop that hands each parameter to its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import aliasing
from ..autograd import enable_grad
from ..errors import DTypeError, ShapeError, StateError, UsageError
from ..promotion import FLOAT32, FLOAT64
from ..tensor import Tensor, raw, wrap


class Optimizer:
    """The base of every optimizer: it holds the parameters in groups, each with options of its own, and a state for each.

    A subclass gives its options' defaults to ``__init__`` and defines :meth:`slots` and :meth:`update`; :meth:`check` is for
    the rules that its options obey.

    Args:
        params: the parameters to optimize: an iterable of leaf tensors, or of groups
            ``{"params": [...], "lr": 0.1, ...}`` whose options come before the defaults. The order matters to ``state_dict``.
        defaults: the value of every option that a group does not set.

    Attributes:
        param_groups: one dict per group: ``params``, a list of tensors, and the value of each option. Assign here to change an
            option during training.
        state: the state of each parameter that was ever updated: counters, and NumPy arrays of the parameter's shape.

    Raises:
        UsageError: no parameters, one that comes twice, one that is not a leaf, or an option outside its rule.
        DTypeError: something that is not a tensor.
    """

    def __init__(self, params, defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        self.check(defaults)
        if isinstance(params, (Tensor, np.ndarray, str)):
            raise DTypeError(f"params is an iterable of tensors or of groups: got a {type(params).__name__}; put it in a list")
        entries = list(_ordered(params))
        if not entries:
            raise UsageError("an optimizer needs at least one parameter: got none; is model.parameters() empty or used up?")
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    # -- what a subclass defines ------------------------------------------------------------------------------------------

    def slots(self, group: dict[str, Any]) -> dict[str, int | float]:
        """The state of a parameter of ``group`` before its first step: an int starts a counter, a float fills an array."""
        raise NotImplementedError(f"{type(self).__name__} does not define slots()")

    def update(self, param, grad, state: dict[str, Any], group: dict[str, Any], fresh: bool) -> None:
        """Take one step.

        Args:
            param: (n,), contiguous float32 or float64: the parameter's values, to be changed in place.
            grad: (n,), of the same dtype: the gradient.
            state: what :meth:`slots` describes, to be changed in place; arrays have the parameter's shape.
            group: the options.
            fresh: whether the state is new.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def check(self, options: dict[str, Any]) -> None:
        """Raise :class:`UsageError` where ``options`` break a rule."""

    # -- groups -----------------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Optimize further parameters, such as layers thawed during training.

        Args:
            param_group: ``params``, a tensor or an iterable of tensors, and options that differ from the defaults.

        Raises:
            UsageError: no parameters, one that is there already or not a leaf, or an option outside its rule.
            DTypeError: something that is not a tensor.
        """
        if not isinstance(param_group, dict):
            raise DTypeError(f'a parameter group is a dict {{"params": [...], ...}}: got a {type(param_group).__name__}')
        if "params" not in param_group:
            raise UsageError(f'a parameter group names its tensors under "params": got the keys {sorted(param_group)}')
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(_ordered(params))
        number = len(self.param_groups)
        if not params:
            raise UsageError(f"a parameter group needs at least one parameter: group {number} has none")
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise DTypeError(f"an optimizer takes tensors: parameter {i} of group {number} is a {type(p).__name__}")
            if not p.is_leaf:
                raise UsageError(
                    f"an optimizer takes leaf tensors: parameter {i} of group {number} is the result of "
                    f"{p.grad_fn.name}; pass the tensor it was computed from, or x.detach().requires_grad_()"
                )
            if id(p) in seen:
                raise UsageError(f"an optimizer takes each parameter once: parameter {i} of group {number} came before")
            seen.add(id(p))
        group = {**self.defaults, **param_group, "params": params}
        self.check(group)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with ``set_to_none=False`` fill them with zeros instead."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p._grad is None:
                    p._grad = None
                else:
                    p._grad = wrap(np.zeros(p.shape, p.dtype))

    # -- a step -----------------------------------------------------------------------------------------------------------

    def step(self, closure=None):
        """Update every parameter that has a gradient.

        Args:
            closure: computes the loss anew, calls ``backward()`` on it and returns it; called once, before the update.

        Returns:
            what ``closure`` returned, or None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            slots = self.slots(group)
            maximize = group.get("maximize", False)
            for p in group["params"]:
                if p._grad is not None:
                    self._update_parameter(p, p._grad._data, group, slots, maximize)
        return loss

    def _update_parameter(self, p: Tensor, grad, group, slots, maximize) -> None:
        data = p._data
        in_place = _fits_kernel(data)
        values = data if in_place else np.array(data, _kernel_dtype(data), order="C")
        if not (_fits_kernel(grad) and grad.dtype is values.dtype):
            grad = np.array(grad, values.dtype, order="C")
        if maximize:
            grad = np.negative(grad, out=np.empty_like(grad))
        state = self.state.get(p)
        if state is None:
            state = self.state[p] = {}
        fresh = not slots.keys() <= state.keys()
        if fresh:
            for name, start in slots.items():
                if name not in state:
                    state[name] = start if isinstance(start, int) else np.full(values.shape, start, values.dtype)
        for name, array in (("grad", grad), *state.items()):  # a kernel would read past the end of a smaller one
            if array.__class__ is np.ndarray and array.shape != values.shape:
                raise ShapeError(
                    f"a parameter's values, grad and state have one shape: the values have {values.shape} and {name} "
                    f"{array.shape}; make a new optimizer after replacing p.data by an array of another shape"
                )
        aliasing.note_write(data)
        self.update(values.reshape(-1), grad.reshape(-1), state, group, fresh)
        if in_place:
            return
        if isinstance(data, np.ndarray) and data.flags.writeable:
            data[...] = values
        else:
            p._data = values.astype(data.dtype)

    # -- saving and loading -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """A snapshot of state and options, in PyTorch's layout; later steps do not change it.

        Returns:
            ``{"state": {0: {"step": 7, "exp_avg": array, ...}, ...}, "param_groups": [{"lr": 0.1, "params": [0, 1]}, ...]}``:
            parameters are numbered in the order in which they were given. :func:`minigrad.training.checkpoint.save` takes it
            as it is.
        """
        number = {p: i for i, p in enumerate(self._parameters())}
        return {
            "state": {
                number[p]: {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in state.items()}
                for p, state in self.state.items()
                if state
            },
            "param_groups": [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state and options from :meth:`state_dict`, of this optimizer or of PyTorch's of the same name.

        Everything is copied. Training goes on exactly, bit by bit, as it would have from where the state was taken.

        Raises:
            StateError: the state is not one of this kind of optimizer over parameters of these shapes; the message lists what
                does not fit, and nothing is changed.
        """
        problems: list[str] = []
        saved_groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in saved_groups]
        if sizes != [len(group["params"]) for group in self.param_groups]:
            here = [len(group["params"]) for group in self.param_groups]
            problems.append(f"the state has groups of {sizes} parameters, the optimizer of {here}")
        for i, saved in enumerate(saved_groups):
            if lacking := sorted(self.defaults.keys() - saved.keys()):
                problems.append(f"group {i} lacks {', '.join(lacking)}")
        states: dict[Tensor, dict[str, Any]] = {}
        groups: list[dict[str, Any]] = []
        if not problems:
            groups = [{**saved, "params": own["params"]} for saved, own in zip(saved_groups, self.param_groups)]
            number = {p: i for i, p in enumerate(self._parameters())}
            by_saved_number = {
                k: (p, group) for saved, group in zip(saved_groups, groups) for k, p in zip(saved["params"], group["params"])
            }
            for k, saved in state_dict["state"].items():
                if k in by_saved_number:
                    p, group = by_saved_number[k]
                    states[p] = self._adopted(saved, p, group, f"parameter {number[p]}", problems)
                else:
                    problems.append(f"there is a state of parameter {k!r}, but no group has it")
        if problems:
            raise StateError(
                f"a state of {type(self).__name__} needs the same optimizer over parameters of the same order and shapes; "
                "load it into one made as the first one was. It does not fit:\n  " + "\n  ".join(problems)
            )
        self.state = states
        self.param_groups = groups

    def _adopted(self, saved: dict[str, Any], p: Tensor, group, who: str, problems: list[str]) -> dict[str, Any]:
        """A copy of the ``saved`` state of parameter ``p``; what does not fit is added to ``problems``."""
        saved = {name: np.asarray(raw(x)) for name, x in saved.items() if x is not None}  # None: PyTorch, no buffer yet
        slots = self.slots(group)
        if lacking := sorted(slots.keys() - saved.keys()):
            problems.append(f"{who} lacks {', '.join(lacking)}")
        if unknown := sorted(saved.keys() - slots.keys()):
            problems.append(f"{who} has {', '.join(unknown)}, which {type(self).__name__} with these options does not know")
        state: dict[str, Any] = {}
        for name in slots.keys() & saved.keys():
            if isinstance(slots[name], int):
                state[name] = int(saved[name])
            elif saved[name].shape == p.shape:
                state[name] = np.array(saved[name], _kernel_dtype(p._data), order="C")
            else:
                problems.append(f"{who} has shape {p.shape}, its {name} {saved[name].shape}")
        return state

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"  group {i}: {len(group['params'])} parameters")
            lines += [f"    {name}: {value}" for name, value in group.items() if name != "params"]
        return "\n".join([*lines, ")"])


def require_not_negative(options: dict[str, Any], *names: str) -> None:
    """Raise :class:`UsageError` unless each of the named options is a number from 0 upward."""
    for name in names:
        value = options[name]
        if not isinstance(value, (int, float, np.number)) or not value >= 0:  # "not": NaN is wrong too
            raise UsageError(f"{name} is a number from 0 upward: got {value!r}")


def _ordered(params):
    if isinstance(params, (set, frozenset)):
        raise DTypeError("params needs an order, which a set has not: pass a list")
    try:
        return iter(params)
    except TypeError:
        raise DTypeError(f"params is an iterable of tensors or of groups: got a {type(params).__name__}") from None


def _fits_kernel(array) -> bool:
    """Whether a kernel can work on ``array`` itself: contiguous, writeable, float32 or float64 in the machine's byte order."""
    return isinstance(array, np.ndarray) and array.flags.carray and (array.dtype is FLOAT32 or array.dtype is FLOAT64)


def _kernel_dtype(array) -> np.dtype:
    """The dtype in which an array's updates are computed: its own, or float32 for float16."""
    return FLOAT64 if array.dtype == FLOAT64 else FLOAT32
