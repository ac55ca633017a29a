"""What strategies share that rank by one number: the best first, chance among equals, and a reason in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .port import NOTHING, Candidate, Choice, Knowledge, Needs


@dataclass(frozen=True, kw_only=True)
class ByScore:
    """A strategy that ranks by one score alone.

    Attributes:
        name: See `Strategy.name`.
        description: See `Strategy.description`.
        needs: Its scores, the one to be preferred first.
        because: What a high score means; `{share}` becomes the share of the scored pool with a lower one.
    """

    name: str
    description: str
    needs: Needs
    because: str

    def choose_batch(
        self, pool: Sequence[Candidate], *, count: int, seed: int, now: float, knowledge: Knowledge = NOTHING
    ) -> list[Choice]:
        """See `Strategy.choose_batch`."""
        return by_score(pool, methods=self.needs.scores, count=count, seed=seed, because=self.because)


def shuffled(pool: Sequence[Candidate], seed: int) -> list[Candidate]:
    """The pool in an order that depends on ids and seed alone."""
    ordered = sorted(pool, key=lambda candidate: candidate.image_id)
    return [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]


def drawn(pool: Sequence[Candidate], *, count: int, seed: int, reason: str, now: float | None = None) -> list[Choice]:
    """Any of them, with one reason for all; whoever leaves a choice to chance draws the same for a seed.

    Args:
        pool: Candidates.
        count: How many.
        seed: Decides.
        reason: Of each choice.
        now: Unix time, where images that were offered lately are to come less often; all come equally often without.
    """
    if count < 1:
        return []
    mixed = shuffled(pool, seed)
    weights = np.array([1.0 if now is None else max(1.0, now - candidate.last_offered) for candidate in mixed])
    # The smallest of exponential times, each divided by its weight, are a draw without replacement by weight
    # (Efraimidis & Spirakis, doi:10.1016/j.ipl.2005.11.003).
    times = np.random.default_rng([seed, 1]).exponential(size=len(mixed)) / weights
    return [
        Choice(image_id=mixed[index].image_id, weight=float(weights[index]), reason=reason)
        for index in np.argsort(times, kind="stable")[:count]
    ]


def method_at_hand(pool: Sequence[Candidate], methods: Sequence[str]) -> str | None:
    """The first of some scoring methods that scored any of the pool."""
    return next((method for method in methods if any(method in candidate.scores for candidate in pool)), None)


def by_score(pool: Sequence[Candidate], *, methods: Sequence[str], count: int, seed: int, because: str) -> list[Choice]:
    """Those with the highest score; what was not scored comes last, and without any score chance decides.

    Args:
        pool: Candidates.
        methods: Of scoring, the one to be preferred first.
        count: How many.
        seed: Decides among equal scores.
        because: As `ByScore.because`.
    """
    if count < 1:
        return []
    method = method_at_hand(pool, methods)
    if method is None:
        return drawn(pool, count=count, seed=seed, reason="Drawn at random: no model has looked at the images yet.")
    mixed = shuffled(pool, seed)
    known = np.sort([candidate.scores[method] for candidate in mixed if method in candidate.scores])
    mixed.sort(key=lambda candidate: candidate.scores.get(method, -1.0), reverse=True)
    choices = []
    for candidate in mixed[:count]:
        value = candidate.scores.get(method)
        if value is None:
            choices.append(Choice(image_id=candidate.image_id, weight=0.0, reason="Not looked at by a model yet."))
            continue
        share = float(np.searchsorted(known, value)) / len(known)
        reason = f"{because.format(share=percent(share))} ({method} {value:.2f})."
        choices.append(Choice(image_id=candidate.image_id, weight=value, reason=reason))
    return choices


def percent(share: float) -> str:
    """`92 %`."""
    return f"{share:.0%}".replace("%", " %")
