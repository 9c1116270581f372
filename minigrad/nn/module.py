"""Module: a function with parameters, which may be made of other modules.

What a module owns is simply what its attributes hold: a :class:`Parameter` is a parameter, a :class:`Module` is a part, and
both are listed in the order in which they were first assigned. Only buffers, plain tensors that are saved with the module, have
to be registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import aliasing
from ..autograd import RemovableHandle, add_hook
from ..errors import DTypeError, ModuleNameError, StateError, UsageError
from ..promotion import FLOAT32, FLOAT64
from ..tensor import Tensor, as_dtype
from .hooks import Hooks
from .parameter import Parameter


class IncompatibleKeys(NamedTuple):
    """What :meth:`Module.load_state_dict` could not match, when ``strict`` is False."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """The base of all layers and models.

    A subclass calls ``super().__init__()``, assigns its parameters and parts to attributes, and defines :meth:`forward`::

        class Classifier(nn.Module):
            def __init__(self, features, classes):
                super().__init__()
                self.hidden = nn.Linear(features, 64)
                self.out = nn.Linear(64, classes)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    Attributes:
        training: whether layers such as dropout behave as in training; :meth:`train` and :meth:`eval` set it.
    """

    training: bool
    _buffer_names: dict[str, bool]  # each buffer, and whether it is part of the state
    _hooks: Hooks | None = None  # most modules never have any, and then calling one costs nothing but this test

    def __init__(self):
        self.training = True
        self._buffer_names = {}

    def __call__(self, *args, **kwargs) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    def forward(self, *args, **kwargs) -> Any:
        """The computation; each subclass defines its own. Call the module itself rather than this, so that hooks run."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(): define what it computes")

    # -- what belongs to the module -------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, (Parameter, Module)):
            if "_buffer_names" not in self.__dict__:
                raise UsageError(
                    f"{type(self).__name__}.__init__ assigns {name!r} before the module exists: call super().__init__() first"
                )
        elif value is not None and isinstance(self.__dict__.get(name), Parameter):
            raise DTypeError(
                f"{name!r} is a parameter of {type(self).__name__}, so it takes a Parameter or None: got "
                f"{type(value).__name__}; wrap it in nn.Parameter(...), or change the old values under no_grad() with .copy_()"
            )
        elif not (value is None or isinstance(value, Tensor)) and name in self.__dict__.get("_buffer_names", ()):
            raise DTypeError(f"{name!r} is a buffer of {type(self).__name__}, so it takes a Tensor or None: got {value!r:.50}")
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """The same as assigning ``param``, a Parameter or None, to the attribute ``name``."""
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"a parameter is a Parameter or None: got {type(param).__name__} for {name!r}; wrap it")
        self._check_new(name, Parameter)
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Assign a tensor that is no parameter but belongs to the module: its dtype follows the module's.

        Args:
            tensor: the tensor, or None for one that may come later.
            persistent: whether it is saved in the :meth:`state_dict`.
        """
        if tensor is not None and (not isinstance(tensor, Tensor) or isinstance(tensor, Parameter)):
            raise DTypeError(f"a buffer is a Tensor or None: got {type(tensor).__name__} for {name!r}")
        if "_buffer_names" not in self.__dict__:
            raise UsageError(f"{type(self).__name__}.__init__ registers {name!r} too early: call super().__init__() first")
        if name not in self._buffer_names:
            self._check_new(name, ())
        self._buffer_names[name] = persistent
        object.__setattr__(self, name, tensor)

    def register_module(self, name: str, module: Module | None) -> None:
        """The same as assigning ``module``, a Module or None, to the attribute ``name``."""
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"a part of a module is a Module or None: got {type(module).__name__} for {name!r}")
        self._check_new(name, Module)
        setattr(self, name, module)

    add_module = register_module

    def _check_new(self, name: str, kind: type | tuple) -> None:
        """Raise unless ``name`` is free, or taken by something of the ``kind`` that may be replaced."""
        if not isinstance(name, str) or not name or "." in name:
            raise ModuleNameError(f"a name in a module is text without dots, which separate the levels: got {name!r}")
        taken = getattr(self, name, None)
        if taken is not None and not isinstance(taken, kind):
            raise ModuleNameError(f"{type(self).__name__} already has an attribute {name!r}: choose another name")

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module under the name ``prefix``, then its parts and their parts under dotted names, each once."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, value in self.__dict__.items():
            if isinstance(value, Module):
                yield from value.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module, its parts, and their parts, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The parts of this module itself, each once."""
        seen = set()
        for name, value in self.__dict__.items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The parts of this module itself, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters under dotted names, in the order of definition; one that is tied to several places comes once."""
        return self._named(Module._own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters in the order of definition, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers under dotted names, in the order of definition, each once."""
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers in the order of definition, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _own_parameters(self) -> list[tuple[str, Tensor]]:
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, Parameter)]

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        buffers = ((name, self.__dict__.get(name)) for name in self._buffer_names)
        return [(name, value) for name, value in buffers if isinstance(value, Tensor) and not isinstance(value, Parameter)]

    def _named(self, select, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in select(module):
                if id(value) not in seen:
                    yield f"{path}.{name}" if path else name, value
                    if remove_duplicate:
                        seen.add(id(value))

    def get_submodule(self, target: str) -> Module:
        """The part at a dotted name; the module itself for an empty one."""
        modules = dict(self.named_modules(remove_duplicate=False))
        if target not in modules:
            raise ModuleNameError(
                f"{type(self).__name__} has no part {target!r}: it has {', '.join(filter(None, modules)) or 'none'}"
            )
        return modules[target]

    # -- state ----------------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Everything that makes this module what it is: its parameters and persistent buffers, under dotted names.

        The tensors share the module's memory, so they change as it learns; copy them to keep them. A tensor that is tied to
        several places is listed under each of its names.

        Args:
            prefix: put in front of every name.
            keep_vars: give the parameters themselves rather than tensors detached from the tape.
        """
        state = {}
        for path, module in self.named_modules(remove_duplicate=False):
            own = module._own_parameters() + [(n, b) for n, b in module._own_buffers() if module._buffer_names[n]]
            for name, value in own:
                state[f"{prefix}{path}.{name}" if path else f"{prefix}{name}"] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the values of ``state_dict`` into this module's parameters and buffers, all of them or none.

        Args:
            state_dict: values (tensors, NumPy arrays, PyTorch tensors) under the names that :meth:`state_dict` gives them.
            strict: whether every name on either side must be on the other.

        Returns:
            the names left over on either side; none where ``strict``.

        Raises:
            StateError: listing every missing and unexpected name, and every value of another shape with both shapes.
                Nothing has then been changed. Values of another shape are an error even without ``strict``.
        """
        own = self.state_dict(keep_vars=True)
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        values = {name: _values_of(name, state_dict[name]) for name in own if name in state_dict}
        problems = []
        if strict and missing:
            problems.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        shapes = [
            f"{name} is {own[name].shape} in the module, {value.shape} in the state"
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        if shapes:
            problems.append(f"of another shape: {', '.join(shapes)}")
        if problems:
            advice = "build the module as it was when the state was saved"
            if not shapes:
                advice += ", or pass strict=False to load what fits"
            raise StateError(f"the state does not fit this {type(self).__name__}; {'; '.join(problems)}; {advice}")
        for name, value in values.items():
            write_in_place(own[name], value)
        return IncompatibleKeys(missing, unexpected)

    # -- modes and dtypes -----------------------------------------------------------------------------------------------

    def train(self, mode: bool = True):
        """Put this module and its parts into training mode, or out of it; returns the module."""
        if not isinstance(mode, bool):
            raise UsageError(f"the training mode is True or False: got {type(mode).__name__}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Put this module and its parts out of training mode: no dropout; returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        """Switch the recording of gradients on or off for every parameter; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = Tensor(np.zeros(parameter.shape, parameter.dtype))

    def apply(self, fn: Callable[[Module], Any]):
        """Call ``fn`` on every part, innermost first, and on the module itself last; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, dtype):
        """Convert the floating-point parameters, their gradients, and the floating-point buffers; returns the module."""
        dtype = as_dtype(dtype)
        if dtype.kind != "f":
            raise DTypeError(f"a module is converted to a floating-point dtype: got {dtype}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.kind == "f" and tensor.dtype != dtype:
                gradient, tensor.grad = tensor.grad, None
                tensor._data = tensor._data.astype(dtype)
                tensor.grad = None if gradient is None else gradient.to(dtype)
        return self

    def float(self):
        """In float32; returns the module."""
        return self.to(FLOAT32)

    def double(self):
        """In float64; returns the module."""
        return self.to(FLOAT64)

    # -- hooks ----------------------------------------------------------------------------------------------------------

    def register_forward_pre_hook(self, hook, *, with_kwargs: bool = False) -> RemovableHandle:
        """Call ``hook(module, args)`` before each forward pass; what it returns, if anything, replaces the arguments.

        With ``with_kwargs``, the call is ``hook(module, args, kwargs)``, and a replacement is the pair of both.
        """
        return add_hook(self._hook_lists().before, (hook, with_kwargs))

    def register_forward_hook(self, hook, *, with_kwargs: bool = False) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after each forward pass; what it returns, if anything, replaces the output.

        With ``with_kwargs``, the call is ``hook(module, args, kwargs, output)``.
        """
        return add_hook(self._hook_lists().after, (hook, with_kwargs))

    def register_full_backward_hook(self, hook) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` in each backward pass, when the gradients of the inputs are known.

        Both are tuples: of a gradient for each positional argument (None for one that requires none), and for each output. What
        the hook returns, if anything, replaces ``grad_input``. Only the outputs in a tuple, or a single one, are seen.
        """
        return add_hook(self._hook_lists().backward, hook)

    def _hook_lists(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    # -- presentation ---------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What the module's ``repr`` shows between its brackets, such as its sizes."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [
            f"({name}): {repr(module).replace(chr(10), chr(10) + '  ')}"
            for name, module in self.__dict__.items()
            if isinstance(module, Module)
        ]
        name = type(self).__name__
        if not children:
            lines = extra.split("\n")
            return f"{name}({extra})" if len(lines) == 1 else f"{name}(\n  " + "\n  ".join(lines) + "\n)"
        return f"{name}(\n  " + "\n  ".join([*filter(None, extra.split("\n")), *children]) + "\n)"

    def summary(self, *inputs, **kwargs) -> str:
        """A table of the parts with their parameter counts and, given inputs to run it on, the shapes of their outputs."""
        from .summary import summary

        return summary(self, inputs, kwargs)


def _values_of(name: str, value) -> np.ndarray:
    array = value._data if isinstance(value, Tensor) else value
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise StateError(f"a state holds numeric arrays: got {type(value).__name__} of dtype {array.dtype} for {name!r}")
    return array


def write_in_place(tensor: Tensor, values: np.ndarray) -> None:
    """Put ``values`` into the memory of ``tensor``, outside the tape."""
    array = np.asarray(tensor._data)
    if not array.flags.writeable:  # a broadcast view, or a file mapped into memory
        array = np.array(array)
    aliasing.note_write(array)
    array[...] = values
    tensor._data = array
