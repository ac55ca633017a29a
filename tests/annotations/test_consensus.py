"""Several readers become one label, as an independent computation says."""

from __future__ import annotations

import numpy as np
import pytest

from carina.annotations.consensus import make_consensus, merge
from carina.errors import ConflictError, InvalidInputError
from carina.geometry import Grid, Volume

SHAPE = (11, 9, 7)
HEART, AORTA = 3, 7


def ball(centre, radius) -> np.ndarray:
    i, j, k = np.indices(SHAPE)
    return (i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 <= radius**2


READERS = [ball((5, 4, 3), 2.6), ball((6, 4, 3), 2.6), ball((5, 5, 3), 2.2)]


def drawn(mask, value=HEART) -> np.ndarray:
    return (mask * value).astype(np.uint16)


def staple(masks, *, rounds=500) -> np.ndarray:
    """Warfield, Zou and Wells 2004, equations 14-19, for binary decisions, written out with numpy.

    The prior is the mean of all decisions, and every reader starts with sensitivity and specificity 0.99999, as in ITK.
    """
    decisions = np.stack([mask.ravel() for mask in masks]).astype(bool)
    prior = decisions.mean()
    p = np.full(len(masks), 0.99999)
    q = np.full(len(masks), 0.99999)
    for _ in range(rounds):
        a = prior * np.where(decisions, p[:, None], 1 - p[:, None]).prod(axis=0)
        b = (1 - prior) * np.where(decisions, 1 - q[:, None], q[:, None]).prod(axis=0)
        w = a / (a + b)
        p = (decisions * w).sum(axis=1) / w.sum()
        q = (~decisions * (1 - w)).sum(axis=1) / (1 - w).sum()
    return w.reshape(masks[0].shape)


def boxed(masks, margin=2) -> tuple[slice, ...]:
    where = np.argwhere(np.any(masks, axis=0))
    low, high = where.min(axis=0), where.max(axis=0)
    return tuple(slice(max(a - margin, 0), b + margin + 1) for a, b in zip(low, high, strict=True))


def test_a_majority_is_more_than_half_of_those_who_looked():
    merged = merge([(drawn(mask), {"heart": HEART}) for mask in READERS], {"heart": HEART}, method="majority")
    votes = sum(mask.astype(int) for mask in READERS)
    np.testing.assert_array_equal(merged == HEART, votes >= 2)
    assert merged.dtype == np.uint8


def test_a_tie_is_no_majority():
    merged = merge([(drawn(mask), {"heart": HEART}) for mask in READERS[:2]], {"heart": HEART}, method="majority")
    np.testing.assert_array_equal(merged == HEART, READERS[0] & READERS[1])


@pytest.mark.parametrize("readers", [READERS, READERS[:2], [READERS[0], READERS[0], READERS[2]]])
def test_staple_agrees_with_the_equations_of_its_paper(readers):
    merged = merge([(drawn(mask), {"heart": HEART}) for mask in readers], {"heart": HEART}, method="staple")
    box = boxed(readers)
    expected = np.zeros(SHAPE, bool)
    expected[box] = staple([mask[box] for mask in readers]) > 0.5
    np.testing.assert_array_equal(merged == HEART, expected)
    assert expected.any()


@pytest.mark.parametrize("method", ["staple", "majority"])
def test_readers_who_agree_are_the_consensus(method):
    full = np.ones(SHAPE, bool)
    for mask in (READERS[0], full, np.zeros(SHAPE, bool)):
        merged = merge([(drawn(mask), {"heart": HEART})] * 3, {"heart": HEART}, method=method)
        np.testing.assert_array_equal(merged == HEART, mask)


@pytest.mark.parametrize("method", ["staple", "majority"])
def test_who_did_not_look_for_a_structure_does_not_vote_on_it(method):
    aorta = ball((1, 1, 1), 1.2)
    opinions = [
        (drawn(READERS[0]) + drawn(aorta, AORTA), {"heart": HEART, "aorta": AORTA}),
        (drawn(READERS[0]), {"heart": HEART}),
        (drawn(READERS[0]), {"heart": HEART}),
    ]
    merged = merge(opinions, {"heart": HEART, "aorta": AORTA}, method=method)
    np.testing.assert_array_equal(merged == AORTA, aorta)
    np.testing.assert_array_equal(merged == HEART, READERS[0])


def test_who_looked_and_drew_nothing_votes_against():
    nothing = np.zeros(SHAPE, bool)
    opinions = [(drawn(mask), {"heart": HEART}) for mask in (READERS[0], nothing, nothing)]
    assert not merge(opinions, {"heart": HEART}, method="majority").any()


def test_between_two_structures_the_larger_share_wins_and_then_the_alphabet():
    both = READERS[0]
    opinions = [(drawn(both), {"heart": HEART}), (drawn(both, AORTA), {"aorta": AORTA})]
    names = {"heart": HEART, "aorta": AORTA}
    assert set(np.unique(merge(opinions, names, method="majority"))) == {0, AORTA}
    opinions += [(drawn(both), {"heart": HEART}), (drawn(both, AORTA), {"aorta": AORTA})]
    opinions += [(drawn(~both, AORTA), {"aorta": AORTA})]
    merged = merge(opinions, names, method="majority")
    np.testing.assert_array_equal(merged == HEART, both)  # 2 of 2 against 2 of 3


# --- stored

GRID = Grid(SHAPE, np.array([[0.0, -2.0, 0.1, 9.0], [1.5, 0.0, 0.0, 8.0], [0.0, 0.1, 4.0, 7.0], [0, 0, 0, 1.0]]))


@pytest.fixture
def read(store):
    """A reader's label of the one image."""

    def call(user, mask, *, value=HEART, names=None, **more):
        label = Volume((mask * value).astype(np.uint8), GRID)
        more = {"task": "thorax_ct", "user": user, **more}
        return store.submit("a", label, names={"heart": value} if names is None else names, **more)

    return call


def test_a_consensus_is_a_version_beside_those_it_was_made_from(store, read):
    read("anna", READERS[2])
    newest = [read("anna", READERS[0]), read("bert", READERS[1], value=9), read("carl", READERS[2])]
    merged = make_consensus(store, "a", task="thorax_ct", method="majority", user="rita")
    volume, names = store.read(merged)
    votes = sum(mask.astype(int) for mask in READERS)
    np.testing.assert_array_equal(volume.array == names["heart"], votes >= 2)
    np.testing.assert_array_equal(volume.grid.affine_ras, GRID.affine_ras)
    assert (merged.tag, merged.origin, merged.user) == ("consensus", "automatic", "rita")
    assert set(merged.sources) == {version.id for version in newest}
    assert merged.patient_key == newest[0].patient_key
    assert len(store.versions("a")) == 5
    assert store.latest("a").id == newest[-1].id
    assert store.get(merged.id).sources == merged.sources


def test_names_that_share_a_number_get_their_own(store, read):
    read("anna", READERS[0], value=4)
    read("bert", ball((1, 1, 1), 1.2), names={"aorta": 4}, value=4)
    merged = make_consensus(store, "a", task="thorax_ct", method="staple")
    volume, names = store.read(merged)
    assert names == {"aorta": 4, "heart": 1}
    np.testing.assert_array_equal(volume.array == names["aorta"], ball((1, 1, 1), 1.2))


def test_it_moves_no_case_and_trains_once_accepted(store, read):
    read("anna", READERS[0])
    last = read("bert", READERS[1])
    merged = make_consensus(store, "a", task="thorax_ct")
    case = store.cases.get("a", "thorax_ct")
    assert (case.state, case.annotation_id) == ("submitted", last.id)
    assert merged.id not in {version.id for version in store.for_training()}
    store.cases.accept("a", "thorax_ct", annotation_id=merged.id)
    assert [version.id for version in store.for_training()] == [merged.id]
    assert read("carl", READERS[2]).parent == last.id


def test_less_than_two_readers_are_refused_in_words(store, read):
    for _ in range(2):
        read("anna", READERS[0])
    read("bert", READERS[1], tag="original")
    read("carl", READERS[1], task="wholebody_ct")
    store.withdraw(read("dora", READERS[2]).id)
    with pytest.raises(ConflictError, match="two readers or more, got 1"):
        make_consensus(store, "a", task="thorax_ct")
    with pytest.raises(InvalidInputError, match="vote"):
        make_consensus(store, "a", task="thorax_ct", method="vote")


def test_rejected_and_merged_versions_are_no_readers(store, read):
    read("anna", READERS[0]), read("bert", READERS[1])
    store.cases.reject("a", "thorax_ct")
    with pytest.raises(ConflictError, match="got 0"):
        make_consensus(store, "a", task="thorax_ct")
    read("anna", READERS[0]), read("bert", READERS[1])
    make_consensus(store, "a", task="thorax_ct", user="rita")
    assert len(make_consensus(store, "a", task="thorax_ct", user="rita").sources) == 2


def test_readers_of_structures_that_overlap_keep_the_overlap(store):
    names = {"lung_left": 1, "heart": 2}
    grid = Grid(SHAPE, np.eye(4))
    for number, (left, heart) in enumerate(zip(READERS, READERS[::-1], strict=True)):
        both = Volume(left + 2 * heart.astype(np.uint8), grid)
        store.submit("x", both, names=names, user=f"reader {number}", task="cxr_anatomy")
    merged, given = store.read(make_consensus(store, "x", task="cxr_anatomy", method="majority"))
    votes = sum(mask.astype(int) for mask in READERS) >= 2
    assert votes.any()
    for name in names:
        np.testing.assert_array_equal((merged.array & given[name]) != 0, votes)
