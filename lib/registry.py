"""Finds what can be plugged in: tasks, networks, kinds, strategies, datastores. Never imports torch by itself.

Everything pluggable is one module in one package that defines one constant: `lib/configs/*.py` define `TASK`,
`lib/networks/*.py` define `NETWORK`, and so on. Other packages add theirs through an entry-point group.
A module whose name starts with an underscore is not scanned.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from .errors import DuplicateNameError, UnknownNameError
from .labels import did_you_mean
from .task import TaskSpec


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What users type."""
        ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """Names → things of one sort; a name is registered once.

    Args:
        what: The sort, for messages: `Task`, `Network`, `Strategy`.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._items: dict[str, T] = {}

    def add(self, item: T, *, origin: str = "") -> T:
        """Register `item` under its name.

        Raises:
            DuplicateNameError: If the name is taken.
        """
        if item.name in self._items:
            where = f" by {origin}" if origin else ""
            raise DuplicateNameError(f"{self.what} '{item.name}' must be registered once, got it again{where}.")
        self._items[item.name] = item
        return item

    def get(self, name: str) -> T:
        """The thing called `name`.

        Raises:
            UnknownNameError: With the closest names.
        """
        if name not in self._items:
            hint = did_you_mean(name, self._items)
            raise UnknownNameError(f"{self.what} '{name}' is not registered.{hint}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[T]:
        return iter(self._items[name] for name in sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def names(self) -> tuple[str, ...]:
        """Registered names in alphabetical order."""
        return tuple(sorted(self._items))


def find(what: str, *, package: str, constant: str, item_type: type[T], group: str | None = None) -> Registry[T]:
    """Scan the modules of `package` for `constant`, and an entry-point group for more.

    Args:
        what: The sort, for messages.
        package: Absolute package name, such as `carina.configs`.
        constant: Module attribute that holds the thing.
        item_type: What it must be an instance of; modules whose constant is absent are passed over.
        group: Entry-point group for other packages' things, each of `item_type`.

    Raises:
        DuplicateNameError: If two modules claim one name.
        TypeError: If a constant is of another type.
    """
    registry: Registry[T] = Registry(what)
    parent = importlib.import_module(package)
    for info in pkgutil.iter_modules(parent.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        if hasattr(module, constant):
            registry.add(_checked(getattr(module, constant), item_type, module.__name__), origin=module.__name__)
    for point in entry_points(group=group) if group else ():
        registry.add(_checked(point.load(), item_type, point.value), origin=point.value)
    return registry


def find_tasks() -> Registry[TaskSpec]:
    """All tasks: `lib/configs/*.py` and the entry-point group `carina.tasks`."""
    package = __name__.rpartition(".")[0] + ".configs"
    return find("Task", package=package, constant="TASK", item_type=TaskSpec, group="carina.tasks")


def _checked(item: object, item_type: type[T], origin: str) -> T:
    if not isinstance(item, item_type):
        raise TypeError(f"{origin} must define a {item_type.__name__}, got {type(item).__name__}.")
    return item
