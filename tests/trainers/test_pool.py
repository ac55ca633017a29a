"""Images without labels are learned from unless something is measured on their patients."""

from __future__ import annotations

from carina.trainers.pool import read_pool, usable

from .conftest import draw_toy, unlabelled


def test_patients_that_others_are_measured_on_are_not_learned_from(toy_case):
    parts = {"other1": "holdout", "other2": "validation", "other3": "train"}
    pool = [unlabelled(number) for number in (4, 3, 2, 1, 0)]
    assert [case.image_id for case in usable(pool, labelled={"pool0"}, parts=parts, seed=0)] == ["pool3", "pool4"]


def test_of_too_many_images_some_are_drawn_by_chance_and_the_same_for_one_seed():
    pool = [unlabelled(number) for number in range(30)]
    chosen = [usable(pool, labelled=(), parts={}, seed=seed, most=7) for seed in (1, 1, 2)]
    assert [len(some) for some in chosen] == [7, 7, 7]
    assert chosen[0] == chosen[1] != chosen[2]


def test_a_folder_of_images_is_a_pool(tmp_path):
    from carina.images import write_image

    image, _ = draw_toy(1)
    write_image(tmp_path / "a.nii.gz", image)
    (tmp_path / "cases.csv").write_text("image,patient\na,anna\n")
    (case,) = read_pool(tmp_path)
    read, label = case.load()
    assert (case.image_id, case.patient_id, read.array.shape) == ("a", "anna", image.array.shape)
    assert not label.array.any()
