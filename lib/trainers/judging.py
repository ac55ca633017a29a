"""Judges a finished training: candidate and served version drawn on the same cases, then the promotion gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from torch import nn

from ..errors import ConfigurationError
from ..models.gate import Candidate, Decision, decide, decide_first, drifts
from ..models.loading import load_into
from ..models.store import ModelStore
from ..models.version import ModelVersion
from ..networks.factory import build_network
from .lesson import C, Examiner, I, Measured, Progress
from .splits import Part


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """What the gate said, and of what.

    Attributes:
        decision: The gate's.
        served: The version that was served meanwhile; None if none was.
        drawn: What it drew on the first measured case; None if it could not be loaded.
    """

    decision: Decision
    served: str | None
    drawn: Any


@dataclass(frozen=True, kw_only=True)
class Judging(Generic[C, I]):
    """Judges one candidate.

    Attributes:
        measuring: Draws and measures.
        models: Where the served version is.
        margin: By how much a label's mean Dice may fall.
        labels: Names of the labels the candidate was trained on.
        measured_on: Part of the split the candidate was measured on.
    """

    measuring: Examiner[C, I]
    models: ModelStore
    margin: float
    labels: tuple[str, ...]
    measured_on: Part

    def judge(
        self,
        network: nn.Module,
        evaluation: Measured,
        *,
        training: Sequence[I],
        cases: Sequence[C],
        progress: Progress,
    ) -> Judgement:
        """Ask the gate.

        The served version is measured now and on the same cases, never taken from what was once written about it. If
        another one is served in the end, because somebody promoted it meanwhile, that one is measured too.

        Args:
            network: The candidate's.
            evaluation: Of the candidate.
            training: Its training volumes.
            cases: Those measured.
            progress: Told after each case.

        Raises:
            ConfigurationError: If the weights of the served version are damaged.
        """
        candidate = Candidate(
            scores=evaluation.scores(),
            learnt=self.measuring.learnt(network, training),
            labels=self.labels,
            patients=evaluation.patients(),
            measured_on=self.measured_on,
            wording=self.measuring.wording,
        )
        while True:
            served = self.models.served(self.measuring.spec.name)
            decision, drawn = self._against(served, candidate, cases, progress)
            if self.models.served(self.measuring.spec.name) == served:
                return Judgement(decision=decision, served=served.version if served else None, drawn=drawn)

    def _against(
        self, served: ModelVersion | None, candidate: Candidate, cases: Sequence[C], progress: Progress
    ) -> tuple[Decision, Any]:
        if served is None:
            return decide_first(candidate, margin=self.margin), None
        if served.fingerprint != self.measuring.spec.fingerprint():
            because = f"the served {served.version} was made for another form of the task and cannot be used any more"
            return decide_first(candidate, margin=self.margin, because=because), None
        return self._compare(candidate, served, cases, progress)

    def _compare(
        self, candidate: Candidate, served: ModelVersion, cases: Sequence[C], progress: Progress
    ) -> tuple[Decision, Any]:
        spec = self.measuring.spec
        network = build_network(spec).to(self.measuring.device)
        try:
            load_into(network, served, spec=spec)
        except ConfigurationError as error:
            raise ConfigurationError(f"The served version cannot be compared with. {error}") from error
        held_out = self.measured_on == "holdout"
        before, drawn = self.measuring.evaluate(
            network, cases if held_out else cases[:1], progress, calibration=served.calibration
        )
        if not held_out:
            nothing = Candidate(scores={}, patients={})
            return decide(nothing, {}, margin=self.margin, served_version=served.version), drawn
        decision = decide(
            candidate,
            before.scores(),
            margin=self.margin,
            served_version=served.version,
            drift=drifts(served.decision()),
        )
        return decision, drawn
