"""One run: a strategy and a seed, round by round; every finished round is a line on disk, and none is done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import ConflictError, InvalidInputError
from ..scoring import ScoringMethod, find_methods
from ..strategies import Candidate, Knowledge, Strategy, find_strategies
from ..task import TaskSpec
from ..trainers.cache import VolumeCache
from ..trainers.cases import Case
from .beginnings import Beginnings
from .learner import Learner
from .plan import FULL, Plan, split


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a run had come to after one round.

    Attributes:
        strategy: Whose run.
        seed: Which run.
        number: From 0.
        labels: Labelled images.
        chosen: The images this round added, in the order chosen.
        dice: Label → Dice over the test images taken as one, see `Learner.measure`.
        score: Mean of these.
        voxels_changed: What correcting the drafts of all labelled images has cost so far.
        contour_added: Likewise the outline that had to be drawn anew, in voxels.
        seconds: Of this round.
    """

    strategy: str
    seed: int
    number: int
    labels: int
    chosen: tuple[str, ...]
    dice: Mapping[str, float]
    score: float
    voxels_changed: int
    contour_added: int
    seconds: float


class Journal:
    """The finished rounds of one run, and the network as it was after the last of them.

    Args:
        folder: Of the simulation.
        strategy: Whose run.
        seed: Which run.
    """

    def __init__(self, folder: Path, strategy: str, seed: int) -> None:
        self.path = folder / "rounds" / f"{strategy}-{seed}.jsonl"

    def read(self) -> list[Round]:
        """Every finished round; a line that was cut off by a crash does not count.

        Raises:
            ConflictError: If another carina wrote them, which measured something else.
        """
        if not self.path.is_file():
            return []
        text = self.path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        if any(row.keys() != Round.__dataclass_fields__.keys() for row in rows):
            raise ConflictError(
                f"A simulation must go on with the carina that began it, got rounds of another in '{self.path.name}'. "
                "Choose another folder with --out."
            )
        return [Round(**{**row, "chosen": tuple(row["chosen"])}) for row in rows]

    def add(self, finished: Round, learner: Learner) -> None:
        """Write weights first and the line last, so that a line always has its weights."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        learner.save(self._weights(finished.number))
        done = [*self.read(), finished]
        text = "".join(json.dumps(asdict(one)) + "\n" for one in done)
        incoming = self.path.with_suffix(".incoming")
        incoming.write_text(text, encoding="utf-8")
        incoming.replace(self.path)
        self._weights(finished.number - 1).unlink(missing_ok=True)

    def restore(self, learner: Learner, number: int) -> None:
        """The network as it was after a round."""
        learner.restore(self._weights(number))

    def _weights(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-{number}.safetensors")


@dataclass(kw_only=True)
class Run:
    """One strategy with one seed.

    Attributes:
        plan: The simulation.
        spec: The task as it is simulated.
        cases: All of the folder.
        folder: Of the simulation.
        cancelled: Asked between units of work.
    """

    plan: Plan
    spec: TaskSpec
    cases: Sequence[Case]
    folder: Path
    cancelled: Callable[[], bool]

    def run(self, name: str, seed: int) -> None:
        """Go through all rounds that are not done.

        Raises:
            CancelledError: If `cancelled` answered true; the round under way begins anew the next time.
            InvalidInputError: If no test image shows any of the task's structures.
        """
        journal = Journal(self.folder, name, seed)
        done = journal.read()
        testing = split((case.patient_id for case in self.cases), seed=seed, test_fraction=self.plan.test_fraction)
        pool = [case for case in self.cases if case.patient_id not in testing]
        rounds = self.plan.rounds_of(len(pool))
        if len(done) >= (1 if name == FULL else rounds):
            return
        cache = VolumeCache(self.folder / "volumes", self.spec)
        self._volumes = {case.image_id: cache.get(case) for case in pool}
        self._test = [cache.get(case) for case in self.cases if case.patient_id in testing]
        learner = Learner(self.spec, seed=seed, device=self.plan.device, cancelled=self.cancelled)
        if name == FULL:
            self._whole_pool(journal, learner, seed, rounds)
            return
        if done:
            journal.restore(learner, done[-1].number)
        for _ in range(len(done), rounds):
            self._one_round(journal, learner, name, seed, done)

    def _one_round(self, journal: Journal, learner: Learner, name: str, seed: int, done: list[Round]) -> None:
        """Choose, correct, learn, measure; the finished round is added to `done`."""
        started, number = time.monotonic(), len(done)
        labelled = [image_id for finished in done for image_id in finished.chosen]
        count = self.plan.step if number else self.plan.start
        chosen = self._choose(find_strategies().get(name), learner, labelled, count=count, seed=seed * 1000 + number)
        efforts = [learner.to_correct(self._volumes[image_id]) for image_id in chosen]
        labelled += chosen

        def learn() -> dict[str, float]:
            steps = self.plan.steps if number else self.plan.steps_of(1)
            learner.learn([self._volumes[image_id] for image_id in labelled], number=number, steps=steps)
            return learner.measure(self._test)

        dice = learn() if number else Beginnings(self.folder, seed).take(chosen, learner, learn)
        finished = Round(
            strategy=name,
            seed=seed,
            number=number,
            labels=len(labelled),
            chosen=tuple(chosen),
            dice=dice,
            score=_mean(dice),
            voxels_changed=sum(one.voxels for one in efforts) + (done[-1].voxels_changed if done else 0),
            contour_added=sum(one.contour for one in efforts) + (done[-1].contour_added if done else 0),
            seconds=round(time.monotonic() - started, 2),
        )
        journal.add(finished, learner)
        done.append(finished)

    def _whole_pool(self, journal: Journal, learner: Learner, seed: int, rounds: int) -> None:
        """The score with every label, after as many steps as the last round of a strategy has behind it."""
        started = time.monotonic()
        learner.learn(list(self._volumes.values()), number=0, steps=self.plan.steps_of(rounds))
        dice = learner.measure(self._test)
        finished = Round(
            strategy=FULL,
            seed=seed,
            number=0,
            labels=len(self._volumes),
            chosen=tuple(self._volumes),
            dice=dice,
            score=_mean(dice),
            voxels_changed=0,
            contour_added=0,
            seconds=round(time.monotonic() - started, 2),
        )
        journal.add(finished, learner)

    def _choose(
        self, strategy: Strategy, learner: Learner, labelled: Sequence[str], *, count: int, seed: int
    ) -> list[str]:
        """What the strategy takes of what is left; only what it needs is computed."""
        needs = strategy.needs
        left = [image_id for image_id in self._volumes if image_id not in set(labelled)]
        # What a draft is compared with belongs to a stored version, and a simulation stores none.
        methods = (find_methods().get(name) for name in needs.scores)
        method = next((one for one in methods if one.sampling != "drawing"), None)
        looks = bool(method or needs.embedding or needs.presence)
        pool = [
            self._candidate(image_id, learner, method) if looks else Candidate(image_id=image_id) for image_id in left
        ]
        embeddings = [learner.look(self._volumes[one], None).embedding for one in labelled] if needs.embedding else []
        knowledge = Knowledge(embeddings=embeddings, occurrences=self._occurrences(labelled))
        batch = strategy.choose_batch(pool, count=count, seed=seed, now=0.0, knowledge=knowledge)
        return [choice.image_id for choice in batch]

    def _candidate(self, image_id: str, learner: Learner, method: ScoringMethod | None) -> Candidate:
        seen = learner.look(self._volumes[image_id], method)
        scores = {method.name: seen.score} if method is not None and seen.score is not None else {}
        return Candidate(image_id=image_id, scores=scores, embedding=seen.embedding, presence=seen.presence)

    def _occurrences(self, labelled: Sequence[str]) -> dict[str, float]:
        return {
            label.name: float(sum(label.index in self._volumes[one].voxels for one in labelled))
            for label in self.spec.labels
        }


def _mean(dice: Mapping[str, float]) -> float:
    if not dice:
        raise InvalidInputError("Test images must show a structure of the task, got none. Take more images or labels.")
    return sum(dice.values()) / len(dice)
