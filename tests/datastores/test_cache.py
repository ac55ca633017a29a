"""The series cache: complete or absent, once, and within its size."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest

from carina.datastores.cache import SeriesCache
from carina.errors import PacsError, StorageError, UnsafeIdError

GIB = 1 << 30


def _filler(calls: list[str], *, size: int = 100, files: int = 3) -> Callable[[Path], int]:
    def fill(folder: Path) -> int:
        calls.append(folder.name)
        for number in range(files):
            (folder / f"{number}.dcm").write_bytes(bytes([number]) * size)
        return files

    return fill


def _partials(cache: SeriesCache) -> list[Path]:
    return list((cache.folder / ".partial").glob("*"))


def test_fills_an_entry_once_and_returns_it_again(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = SeriesCache(tmp_path, limit_gib=1)
    first = cache.get("1.2", revision="a", fill=_filler(calls))
    second = SeriesCache(tmp_path, limit_gib=1).get("1.2", revision="a", fill=_filler(calls))
    assert first == second
    assert sorted(path.name for path in first.iterdir()) == ["0.dcm", "1.dcm", "2.dcm"]
    assert len(calls) == 1


def test_fills_again_when_the_pacs_has_another_revision(tmp_path: Path) -> None:
    calls: list[str] = []
    cache = SeriesCache(tmp_path, limit_gib=1)
    cache.get("1.2", revision="a", fill=_filler(calls))
    folder = cache.get("1.2", revision="b", fill=_filler(calls, files=4))
    assert len(list(folder.iterdir())) == 4
    assert len(calls) == 2


@pytest.mark.parametrize("damage", ["changed", "shortened", "deleted", "added", "manifest"])
def test_fills_again_what_was_damaged_on_disk(tmp_path: Path, damage: str) -> None:
    calls: list[str] = []
    cache = SeriesCache(tmp_path, limit_gib=1)
    folder = cache.get("1.2", revision="a", fill=_filler(calls))
    victim = folder / "1.dcm"
    if damage == "changed":
        victim.write_bytes(b"\x07" * 100)
    elif damage == "shortened":
        victim.write_bytes(b"\x01" * 99)
    elif damage == "deleted":
        victim.unlink()
    elif damage == "added":
        (folder / "extra.dcm").write_bytes(b"1")
    else:
        (folder.parent / "manifest.json").write_text("{")
    folder = cache.get("1.2", revision="a", fill=_filler(calls))
    assert len(calls) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{number}.dcm": bytes([number]) * 100 for number in range(3)
    }


def test_keeps_nothing_when_fewer_instances_arrive_than_there_are(tmp_path: Path) -> None:
    cache = SeriesCache(tmp_path, limit_gib=1)

    def fill(folder: Path) -> int:
        _filler([])(folder)
        return 4

    with pytest.raises(PacsError, match="3 of 4"):
        cache.get("1.2", revision="a", fill=fill)
    assert not (tmp_path / "1.2").exists()
    assert _partials(cache) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_says_that_the_disk_is_full_and_keeps_nothing_half_filled(tmp_path: Path, code: int) -> None:
    cache = SeriesCache(tmp_path, limit_gib=1)

    def fill(folder: Path) -> int:
        (folder / "0.dcm").write_bytes(b"1")
        raise OSError(code, os.strerror(code))

    with pytest.raises(StorageError, match="full" if code != errno.EACCES else "not usable"):
        cache.get("1.2", revision="a", fill=fill)
    assert not (tmp_path / "1.2").exists()
    assert _partials(cache) == []
    assert cache.get("1.2", revision="a", fill=_filler([])).is_dir()


def test_fills_once_for_many_threads(tmp_path: Path) -> None:
    calls: list[str] = []

    def fill(folder: Path) -> int:
        time.sleep(0.1)
        return _filler(calls)(folder)

    with ThreadPoolExecutor(8) as pool:
        caches = [SeriesCache(tmp_path, limit_gib=1) for _ in range(8)]
        folders = set(pool.map(lambda cache: cache.get("1.2", revision="a", fill=fill), caches))
    assert len(folders) == 1
    assert len(calls) == 1


def _fill_in_process(folder: Path, calls: Synchronized[int]) -> None:
    def fill(data: Path) -> int:
        with calls.get_lock():
            calls.value += 1
        time.sleep(0.2)
        return _filler([])(data)

    SeriesCache(folder, limit_gib=1).get("1.2", revision="a", fill=fill)


def test_fills_once_for_many_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    calls = context.Value("i", 0)
    processes = [context.Process(target=_fill_in_process, args=(tmp_path, calls)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert calls.value == 1


def _hang_half_way(folder: Path) -> None:
    def fill(data: Path) -> int:
        (data / "0.dcm").write_bytes(b"half")
        time.sleep(600)
        return 2

    SeriesCache(folder, limit_gib=1).get("1.2", revision="a", fill=fill)


@pytest.mark.parametrize("next_id", ["1.2", "9.9"])
def test_throws_away_what_a_killed_process_left(tmp_path: Path, next_id: str) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hang_half_way, args=(tmp_path,))
    process.start()
    half = tmp_path / ".partial" / "1.2" / "data" / "0.dcm"
    for _ in range(600):
        if half.exists():
            break
        time.sleep(0.1)
    assert half.exists()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    cache = SeriesCache(tmp_path, limit_gib=1)
    assert not (tmp_path / "1.2").exists()
    folder = cache.get(next_id, revision="a", fill=_filler([]))
    assert len(list(folder.iterdir())) == 3
    assert _partials(cache) == []


def test_does_not_sweep_away_what_another_thread_is_filling(tmp_path: Path) -> None:
    cache = SeriesCache(tmp_path, limit_gib=1)
    started, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> int:
        started.set()
        assert go_on.wait(30)
        return _filler([])(folder)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(cache.get, "1.2", revision="a", fill=slow)
        assert started.wait(30)
        cache.get("3.4", revision="a", fill=_filler([]))
        go_on.set()
        assert len(list(future.result().iterdir())) == 3


def _age(cache: SeriesCache, image_id: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(cache.folder / image_id, (then, then))


def test_evicts_the_least_recently_used_over_the_limit(tmp_path: Path) -> None:
    cache = SeriesCache(tmp_path, limit_gib=7000 / GIB, grace_s=60)
    for number, age in (("1.1", 300), ("1.2", 500), ("1.3", 400)):
        cache.get(number, revision="a", fill=_filler([], size=1000, files=2))
        _age(cache, number, age)
    cache.get("1.4", revision="a", fill=_filler([], size=1000, files=2))
    assert sorted(path.name for path in tmp_path.glob("1.*")) == ["1.1", "1.3", "1.4"]
    assert cache.size_bytes == 6000


def test_never_evicts_what_is_in_use(tmp_path: Path) -> None:
    cache = SeriesCache(tmp_path, limit_gib=1000 / GIB, grace_s=60)
    first = cache.get("1.1", revision="a", fill=_filler([], size=1000))
    cache.get("1.2", revision="a", fill=_filler([], size=1000))
    assert len(list(first.iterdir())) == 3
    _age(cache, "1.1", 61)
    cache.evict()
    assert not first.exists()


def test_removes_an_entry_on_request(tmp_path: Path) -> None:
    cache = SeriesCache(tmp_path, limit_gib=1)
    folder = cache.get("1.1", revision="a", fill=_filler([]))
    cache.remove("1.1")
    cache.remove("1.1")
    assert not folder.exists()
    assert cache.size_bytes == 0


def test_refuses_an_unsafe_id(tmp_path: Path) -> None:
    with pytest.raises(UnsafeIdError):
        SeriesCache(tmp_path, limit_gib=1).get("../x", revision="a", fill=_filler([]))
