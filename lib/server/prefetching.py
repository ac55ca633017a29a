"""Fetches an image when it is handed out, so that it is there when its draft is asked for or its label is saved."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from ..datastores.port import ImageStore
from ..errors import CarinaError

_LOG = logging.getLogger(__name__)


class Prefetcher:
    """One thread that fetches images one after the other; whoever needs one sooner fetches it without waiting.

    Args:
        store: Where the images are.
    """

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="carina-prefetch")

    def fetch(self, image_id: str) -> None:
        """Fetch an image soon. A failure is logged and nothing else: the next to ask is told."""
        self._thread.submit(self._fetch, image_id)

    def close(self) -> None:
        """Give up what has not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, image_id: str) -> None:
        try:
            if self._store.kept(image_id) is None:
                self._store.fetch(image_id)
        except (CarinaError, OSError) as error:
            _LOG.info("an image that was handed out could not be fetched ahead: %s", error)
