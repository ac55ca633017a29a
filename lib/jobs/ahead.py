"""Makes what is needed next in a thread while the present is worked with."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ..errors import CarinaError

K = TypeVar("K")
V = TypeVar("V")

_INTERVAL_S = 0.0005


@dataclass(frozen=True, eq=False)
class Made(Generic[K, V]):
    """What was made for one key.

    Attributes:
        key: Of what.
        value: What was made; None if it could not be.
        error: Why not.
    """

    key: K
    value: V | None
    error: CarinaError | None = None

    def get(self) -> V:
        """What was made.

        Raises:
            CarinaError: What making it raised.
        """
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # None only where that was made


def made_ahead(
    keys: Iterable[K], make: Callable[[K], V], *, ahead: int, threads: int = 1
) -> Generator[Made[K, V], None, None]:
    """Make one thing after the other, some of them before they are asked for; at most `ahead` wait at any time.

    An error waits in its place and does not stop the others. An iterator that is given up makes nothing more.

    Args:
        keys: Of what, in the order in which it is wanted.
        make: Key → thing; called in a thread.
        ahead: How many may be made or under way; 1 or more.
        threads: How many are made at once.
    """
    rest = iter(keys)
    with closing(_Pool(threads)) as pool:
        waiting = deque(pool.submit(outcome_of, key, make) for key in islice(rest, ahead))
        while waiting:
            made = waiting.popleft().result()
            waiting.extend(pool.submit(outcome_of, key, make) for key in islice(rest, 1))
            yield made


class _Pool(ThreadPoolExecutor):
    """Threads; what has not begun is given up at the end.

    While they are there the interpreter passes between threads ten times as often as usual: what is made, and what is
    done with it, are short calls into compiled code, and each would wait its 5 ms for whoever holds the interpreter.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(max_workers=threads, thread_name_prefix="carina-ahead")
        self._interval_s = sys.getswitchinterval()
        sys.setswitchinterval(min(self._interval_s, _INTERVAL_S))

    def close(self) -> None:
        self.shutdown(wait=True, cancel_futures=True)
        sys.setswitchinterval(self._interval_s)


def outcome_of(key: K, make: Callable[[K], V]) -> Made[K, V]:
    """Make one thing now, or keep what carina raised on purpose."""
    try:
        return Made(key, make(key))
    except CarinaError as error:
        return Made(key, None, error)
