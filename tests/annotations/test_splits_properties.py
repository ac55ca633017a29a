"""Whatever happens to images, labels, options and other trainings, a patient keeps its part of the split."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from carina.annotations.database import Database
from carina.annotations.patients import PatientKeys
from carina.annotations.splits import PARTS, SplitTable
from carina.errors import ConflictError
from carina.trainers.splits import FileSplitStore, Fractions, SplitStore, parts_of

KEYS = PatientKeys(b"0" * 32)
TASKS = ("thorax_ct", "wholebody_ct")

patients = st.sampled_from([f"PAT-{number:02d}" for number in range(6)])
image_ids = st.sampled_from([f"1.2.{number}" for number in range(10)])
seeds = st.integers(0, 5)
shares = st.sampled_from([(0.0, 0.0), (0.15, 0.15), (0.4, 0.1), (0.05, 0.6), (0.0, 0.5)])


@contextmanager
def tables() -> Iterator[SplitTable]:
    with TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/carina.sqlite")
        database.create_tables()
        yield SplitTable(database)
        database.close()


@contextmanager
def files() -> Iterator[FileSplitStore]:
    with TemporaryDirectory() as folder:
        yield FileSplitStore(Path(folder))


class Hospital(RuleBasedStateMachine):
    """A hospital whose images come, go and are renamed, whose labels change, and that trains in between.

    `first` is the part every patient had when it was first seen; nothing may ever contradict it.
    """

    opener = staticmethod(tables)

    def __init__(self) -> None:
        super().__init__()
        self._closing = self.opener()
        self.store: SplitStore = self._closing.__enter__()
        self.images: dict[str, str] = {}  # image → patient
        self.labels: dict[str, set[str]] = {task: set() for task in TASKS}
        self.first: dict[tuple[str, str], str] = {}

    def teardown(self) -> None:
        self._closing.__exit__(None, None, None)

    @rule(image=image_ids, patient=patients, tasks=st.sets(st.sampled_from(TASKS)))
    def an_image_arrives_and_may_be_labelled(self, image, patient, tasks):
        self.images.setdefault(image, patient)
        for task in tasks:
            self.labels[task].add(image)

    @rule(image=image_ids)
    def an_image_is_deleted(self, image):
        self.images.pop(image, None)

    @precondition(lambda self: self.images)
    @rule(data=st.data(), new=image_ids)
    def an_image_gets_another_id(self, data, new):
        old = data.draw(st.sampled_from(sorted(self.images)))
        if new not in self.images:
            self.images[new] = self.images.pop(old)
            for labelled in self.labels.values():
                if old in labelled:
                    labelled.add(new)

    @rule(image=image_ids, task=st.sampled_from(TASKS))
    def an_image_is_labelled(self, image, task):
        self.labels[task].add(image)

    @rule(image=image_ids, task=st.sampled_from(TASKS))
    def a_label_is_withdrawn(self, image, task):
        self.labels[task].discard(image)

    @rule(task=st.sampled_from(TASKS), share=shares, seed=seeds)
    def a_training_runs(self, task, share, seed):
        self._note(task, self._train(task, share, seed))

    @rule(task=st.sampled_from(TASKS), options=st.lists(st.tuples(shares, seeds), min_size=2, max_size=4))
    def several_trainings_start_at_once(self, task, options):
        def start(one):
            try:
                return self._train(task, *one)
            except ConflictError:  # it is told to start again
                return {}

        with ThreadPoolExecutor(len(options)) as pool:
            for parts in pool.map(start, options):
                self._note(task, parts)

    @invariant()
    def nobody_has_moved(self):
        for task in TASKS:
            kept = self.store.get(task)
            assert set(kept.values()) <= set(PARTS)
            for key, part in kept.items():
                assert self.first.setdefault((task, key), part) == part
            assert {key for one, key in self.first if one == task} <= kept.keys()

    def _train(self, task, share, seed):
        labelled = {self._key(image) for image in self.labels[task] if image in self.images}
        fractions = Fractions(validation=share[0], holdout=share[1])
        return parts_of(labelled, task=task, store=self.store, fractions=fractions, seed=seed)

    def _key(self, image):
        return KEYS.key(self.images[image], image_id=image)

    def _note(self, task, parts):
        for key, part in parts.items():
            assert self.first.setdefault((task, key), part) == part


class HospitalWithFiles(Hospital):
    """The same with the split of `carina train`."""

    opener = staticmethod(files)


_LIMITS = settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestHospital = Hospital.TestCase
TestHospital.settings = _LIMITS
TestHospitalWithFiles = HospitalWithFiles.TestCase
TestHospitalWithFiles.settings = _LIMITS


@given(patient=st.text(min_size=1, max_size=20).filter(str.strip), ids=st.lists(image_ids, min_size=2, max_size=4))
def test_a_patient_has_one_key_whatever_its_images_are_called(patient, ids):
    keys = {KEYS.key(patient, image_id=image) for image in ids}
    assert len(keys) == 1
    assert KEYS.key(f"  {patient} ", image_id="other") in keys


@given(blank=st.sampled_from([None, "", "  "]), ids=st.sets(image_ids, min_size=2))
def test_images_of_unknown_patients_are_patients_of_their_own(blank, ids):
    assert len({KEYS.key(blank, image_id=image) for image in ids}) == len(ids)


def test_of_many_disagreeing_trainings_on_one_database_none_moves_a_patient(database_url):
    database = Database(database_url)
    database.create_tables()
    store = SplitTable(database)
    names = [f"p{number}" for number in range(40)]

    def start(number: int):
        share = Fractions(validation=(number % 5) / 10, holdout=(number % 4) / 10)
        try:
            return parts_of(names[: 10 + 2 * number], task="thorax_ct", store=store, fractions=share, seed=number)
        except ConflictError:
            return {}

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(start, range(16)))
    kept = store.get("thorax_ct")
    database.close()
    assert any(seen)
    assert all(kept[patient] == part for parts in seen for patient, part in parts.items())


class _LastWriterWins:
    """A store without the rule: it keeps what it is told last, and a training reads it too early."""

    def __init__(self) -> None:
        self.split: dict[str, dict[str, str]] = {}
        self._asked = 0

    def get(self, task):
        self._asked += 1
        return {} if self._asked % 3 == 1 else dict(self.split.get(task, {}))

    def put(self, task, added):
        self.split.setdefault(task, {}).update(added)


def test_the_property_notices_a_store_that_lets_patients_move():
    class Careless(Hospital):
        opener = staticmethod(lambda: nullcontext(_LastWriterWins()))

    limits = settings(_LIMITS, database=None, report_multiple_bugs=False, phases=[Phase.generate])  # finding is enough
    with pytest.raises((AssertionError, KeyError)):  # a patient has moved, or was forgotten
        run_state_machine_as_test(Careless, settings=limits)
