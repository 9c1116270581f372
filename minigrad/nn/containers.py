"""Modules that hold other modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping

from ..errors import DimensionError, DTypeError, ModuleNameError, UsageError
from .module import Module
from .parameter import Parameter


class _Numbered(Module):
    """What the containers share whose items are the attributes "0", "1", ... in this order."""

    _kind: type = Module

    def _names(self) -> list[str]:
        return [name for name, value in self.__dict__.items() if isinstance(value, self._kind)]

    def _items(self) -> list:
        return [value for value in self.__dict__.values() if isinstance(value, self._kind)]

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator:
        return iter(self._items())

    def _place(self, index) -> int:
        n = len(self)
        i = operator.index(index)
        if not -n <= i < n:
            raise DimensionError(f"this {type(self).__name__} has {n} items: got the index {i}")
        return i % n

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._like(index)
        return self._items()[self._place(index)]

    def __setitem__(self, index, item) -> None:
        setattr(self, self._names()[self._place(index)], self._checked(item))

    def __delitem__(self, index) -> None:
        items = self._items()
        del items[index if isinstance(index, slice) else self._place(index)]
        self._replace(items)

    def _replace(self, items: Iterable) -> None:
        items = [self._checked(item) for item in items]
        for name in self._names():
            delattr(self, name)
        for i, item in enumerate(items):
            setattr(self, str(i), item)

    def _like(self, index: slice):
        raise NotImplementedError

    def _checked(self, item):
        if not isinstance(item, self._kind):
            raise DTypeError(f"a {type(self).__name__} holds modules: got {type(item).__name__}")
        return item

    def append(self, item):
        """Add ``item`` at the end; returns the container."""
        setattr(self, str(len(self)), self._checked(item))
        return self

    def extend(self, items: Iterable):
        """Add ``items`` at the end; returns the container."""
        for item in list(items):
            self.append(item)
        return self

    def insert(self, index: int, item) -> None:
        """Put ``item`` before the place ``index``."""
        items = self._items()
        items.insert(index, item)
        self._replace(items)

    def pop(self, index: int = -1):
        """Take the item at ``index`` out and return it."""
        item = self[index]
        del self[index]
        return item


class Sequential(_Numbered):
    """Modules one after the other: each takes what the one before gives.

    Args:
        modules: the modules, or one mapping from names to modules.
    """

    def __init__(self, *modules):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, self._checked(module))
        else:
            self._replace(modules)

    def _numbered(self) -> bool:
        return self._names() == [str(i) for i in range(len(self))]

    def __delitem__(self, index) -> None:
        if self._numbered():
            super().__delitem__(index)
        else:  # the others keep their names
            names = self._names()
            for name in names[index] if isinstance(index, slice) else [names[self._place(index)]]:
                delattr(self, name)

    def append(self, item):
        """Add ``item`` at the end; returns the container."""
        if str(len(self)) in self.__dict__:
            raise UsageError(f"append would name the module {len(self)}, which is taken: use add_module with another name")
        return super().append(item)

    def insert(self, index: int, item) -> None:
        """Put ``item`` before the place ``index``; the modules must be numbered, not named."""
        if not self._numbered():
            raise UsageError(f"insert numbers the modules anew, and these have names: {', '.join(self._names())}")
        super().insert(index, item)

    def _like(self, index: slice):
        return type(self)(dict(list(zip(self._names(), self._items()))[index]))

    def forward(self, input):
        for module in self._items():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules, each of them a part of the module that holds the list. It has no forward of its own.

    Args:
        modules: the first items.
    """

    def __init__(self, modules: Iterable[Module] = ()):
        super().__init__()
        self._replace(modules)

    def _like(self, index: slice) -> ModuleList:
        return type(self)(self._items()[index])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    __iadd__ = _Numbered.extend


class ParameterList(_Numbered):
    """A list of parameters of the module that holds the list. Plain tensors become parameters.

    Args:
        values: the first items.
    """

    _kind = Parameter

    def __init__(self, values: Iterable = ()):
        super().__init__()
        self._replace(values)

    def _like(self, index: slice) -> ParameterList:
        return type(self)(self._items()[index])

    def _checked(self, item):
        return item if isinstance(item, Parameter) else Parameter(item)

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): Parameter of shape {p.shape}" for i, p in enumerate(self))


class ModuleDict(Module):
    """A dictionary of modules, each of them a part of the module that holds the dictionary. It has no forward of its own.

    Args:
        modules: a mapping, or pairs, of names and modules. A name that the dictionary needs as a method, such as "keys", or
            that has a dot in it, is refused.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        super().__init__()
        self.update(modules)

    def __getitem__(self, key: str) -> Module:
        if key not in self:
            raise ModuleNameError(f"this ModuleDict has no {key!r}: it has {', '.join(self.keys()) or 'nothing'}")
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __contains__(self, key) -> bool:
        return isinstance(self.__dict__.get(key), Module)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names, in order."""
        return [name for name, value in self.__dict__.items() if isinstance(value, Module)]

    def values(self) -> list[Module]:
        """The modules, in order."""
        return [self.__dict__[name] for name in self.keys()]

    def items(self) -> list[tuple[str, Module]]:
        """The pairs of name and module, in order."""
        return [(name, self.__dict__[name]) for name in self.keys()]

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace several modules."""
        for name, module in dict(modules).items():
            self[name] = module

    def pop(self, key: str) -> Module:
        """Take the module under ``key`` out and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for name in self.keys():
            delattr(self, name)
