"""Names of image files; what they hold is tested in `test_images`."""

from __future__ import annotations

import pytest

from carina.image_formats import split_suffix


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.nii.gz", ("a", ".nii.gz")),
        ("a.b.SEG.NRRD", ("a.b", ".seg.nrrd")),
        ("a.PNG", ("a", ".png")),
        ("a.dcm", ("a.dcm", "")),
    ],
)
def test_splits_double_suffixes_whole(name: str, expected: tuple[str, str]) -> None:
    assert split_suffix(name) == expected
