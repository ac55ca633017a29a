from __future__ import annotations

from carina.annotations.drafts import drafts_of, remember_draft
from carina.errors import StorageError


class FullStore:
    """An annotation store whose database is full."""

    def note_draft(self, *arguments, **more) -> None:
        raise StorageError("The database must be written, got OperationalError.")


def test_a_draft_that_cannot_be_noted_is_said_in_the_log_and_fails_nothing(caplog):
    remember_draft(FullStore(), "case-a", task="thorax_ct", params={"model_version": "v1"})
    assert "could not be noted" in caplog.text


def test_a_draft_moves_its_case_and_is_remembered_with_its_model(services):
    for task in ("thorax_ct", "wholebody_ct"):
        params = {"model_version": f"{task}-v1", "model_sha256": "ab"}
        remember_draft(services.annotations, "case-a", task=task, params=params, user="anna")
    assert [(draft.task, draft.model_version) for draft in drafts_of(services.annotations, "case-a")] == [
        ("thorax_ct", "thorax_ct-v1"), ("wholebody_ct", "wholebody_ct-v1"),
    ]  # fmt: skip
    assert {case.state for case in services.annotations.cases.of_image("case-a")} == {"draft"}


def test_without_a_model_there_is_nothing_to_note(services):
    remember_draft(services.annotations, "case-a", task="thorax_ct", params={})
    assert services.annotations.cases.list() == []
