"""Whatever several users do in whatever order: no state outside the table, nothing lost, a trail that tells all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from carina.annotations.states import STATES, TRANSITIONS
from carina.annotations.store import open_annotations
from carina.errors import CarinaError, ConflictError, UnknownLabelError
from carina.geometry import Grid, Volume
from carina.settings import Settings

GRID = Grid((3, 2, 2), np.diag([1.0, -2.0, 3.0, 1.0]))
TASKS = ("thorax_ct", "")
IMAGES = ("case-a",)
users = st.sampled_from(["anna", "bert", None])
# Mostly one case: histories get long where they meet.
cases = st.sampled_from([("case-a", "thorax_ct")] * 3 + [("case-a", "")])
tags = st.sampled_from(["final", "final", "final", "second"])


class Reading(RuleBasedStateMachine):
    """Users at work; beside the store it keeps what each of them was told."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="carina-states-"))
        self.store = open_annotations(Settings(home=self.home))
        self.acknowledged: dict[str, tuple[tuple[str, str], str, np.ndarray]] = {}
        self.withdrawn: set[str] = set()
        self.turned_down: set[str] = set()
        self.drawn = 0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.home)

    @initialize()
    def a_case_with_work(self) -> None:
        self.submit(("case-a", "thorax_ct"), "anna", "final")

    @rule(case=cases, user=users, tag=tags)
    def submit(self, case, user, tag) -> None:
        self._store_version(case, user, tag)

    @rule(case=cases, user=users)
    def save_a_draft(self, case, user) -> None:
        self._store_version(case, user, "original")

    @rule(case=cases, user=users)
    def draw_a_draft(self, case, user) -> None:
        self.store.note_draft(case[0], task=case[1], model_version="v1", user=user, notes={"draft": 1})

    @rule(case=cases, user=users, data=st.data())
    def accept(self, case, user, data) -> None:
        known = [each for each, (of, _, _) in self.acknowledged.items() if of == case]
        annotation = data.draw(st.sampled_from([None, *known]))
        if self._say("accept", case, user=user, annotation_id=annotation):
            self.turned_down.discard(self.store.cases.get(*case).annotation_id)

    @rule(case=cases, user=users)
    def reject(self, case, user) -> None:
        there = [each for each, (of, tag, _) in self.acknowledged.items() if of == case and tag != "original"]
        if self._say("reject", case, user=user):
            self.turned_down.update(each for each in there if each not in self.withdrawn)

    @rule(case=cases, user=users)
    def skip(self, case, user) -> None:
        self._say("skip", case, user=user, reason="motion")

    @rule(case=cases, user=users)
    def reopen(self, case, user) -> None:
        self._say("reopen", case, user=user)

    @precondition(lambda self: self.acknowledged)
    @rule(user=users, data=st.data())
    def withdraw(self, user, data) -> None:
        annotation = data.draw(st.sampled_from(list(self.acknowledged)))
        self.store.withdraw(annotation, user=user)
        self.withdrawn.add(annotation)

    @rule(image=st.sampled_from(IMAGES), user=st.sampled_from(["anna", "bert"]))
    def take(self, image, user) -> None:
        try:
            self.store.leases.take(image, user)
        except ConflictError:
            assert {lease.image_id: lease.holder for lease in self.store.leases.active()}[image] != user

    @invariant()
    def the_trail_replays_to_the_states_and_every_step_is_in_the_table(self) -> None:
        now = dict.fromkeys([(image, task) for image in IMAGES for task in TASKS], "unlabelled")
        for entry in self.store.audit.of_image(IMAGES[0]):
            if "from" not in entry.details:
                continue
            case, before, after = (entry.image_id, entry.task or ""), entry.details["from"], entry.details["to"]
            assert before == now[case]
            moved = before != after
            assert after in STATES
            assert not moved or after in TRANSITIONS[before][entry.action]
            now[case] = after
        assert {case: self.store.cases.get(*case).state for case in now} == now

    @invariant()
    def every_version_is_there_with_its_voxels(self) -> None:
        stored = {version.id: version for image in IMAGES for version in self.store.versions(image)}
        assert stored.keys() == self.acknowledged.keys()
        assert {each for each, version in stored.items() if version.withdrawn} == self.withdrawn
        for annotation, (_, _, array) in list(self.acknowledged.items())[-3:]:
            np.testing.assert_array_equal(self.store.read(stored[annotation])[0].array, array)

    @invariant()
    def what_was_withdrawn_or_turned_down_does_not_train_and_of_accepted_cases_only_that(self) -> None:
        training = {version.id for version in self.store.for_training()}
        assert not training & (self.withdrawn | self.turned_down)
        for image in IMAGES:
            for task in TASKS:
                case = self.store.cases.get(image, task)
                of_case = {each for each in training if self.acknowledged[each][0] == (image, task)}
                if case.state == "accepted":
                    assert of_case == {case.annotation_id}
                if case.state in ("rejected", "skipped", "unlabelled", "draft"):
                    assert not of_case

    @invariant()
    def a_case_stands_on_a_version_in_use(self) -> None:
        for case in self.store.cases.list():
            if case.state in ("submitted", "accepted", "rejected"):
                assert case.annotation_id in self.acknowledged.keys() - self.withdrawn
            if case.state == "unlabelled":
                assert case.annotation_id is None

    def _store_version(self, case, user, tag) -> None:
        self.drawn += 1
        array = np.full(GRID.shape, self.drawn % 2, np.uint8)
        array[0, 0, 0] = 1
        version = self.store.submit(
            case[0], Volume(array, GRID), names={"heart": 1}, tag=tag, task=case[1] or None, user=user
        )
        self.acknowledged[version.id] = (case, tag, array)

    def _say(self, action, case, **more) -> bool:
        """Whether it was allowed; a refusal agrees with the table and changes nothing."""
        before, trail = self.store.cases.get(*case), self.store.audit.page(limit=10_000)
        try:
            getattr(self.store.cases, action)(*case, **more)
        except CarinaError as refusal:
            nothing_to_accept = isinstance(refusal, UnknownLabelError) or "must have a label" in str(refusal)
            assert (action == "accept" and nothing_to_accept) or action not in TRANSITIONS[before.state]
            assert self.store.cases.get(*case) == before
            assert self.store.audit.page(limit=10_000) == trail
            return False
        assert action in TRANSITIONS[before.state]
        return True


Reading.TestCase.settings = settings(
    max_examples=int(
        os.environ.get("CARINA_TEST_EXAMPLES", "8")
    ),  # more of them: by hand, before a change of the table
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestReading = Reading.TestCase
