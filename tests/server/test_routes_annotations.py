from __future__ import annotations

import pytest

from carina.annotations.leases import LeaseTable

TASK = "thorax_ct"
INFO = [{"name": "heart", "idx": 5}, {"name": "trachea", "idx": 9}]


@pytest.fixture
def read(save_label):
    """Save a label as a user."""

    def call(user, image="case-a", *, tag="final", **more):
        saved = save_label(image, tag=tag, params={"label_info": INFO, "client_id": user, **more})
        assert saved.status_code == 200, saved.text
        return saved.json()["label"]

    return call


@pytest.fixture
def say(http):
    """One word on a case; its status and answer."""

    def call(action, image="case-a", **params):
        answer = http.post(f"/carina/cases/{image}/{action}", json=params)
        return answer.status_code, answer.json()

    return call


def test_a_case_goes_from_draft_to_accepted_and_the_trail_tells_it(http, read, say):
    http.post("/infer/thorax_ct", params={"image": "case-a"}, data={"params": '{"client_id": "anna"}'})
    assert http.get("/carina/cases/case-a").json()[0]["state"] == "draft"
    label = read("anna", time_spent_s=95.5)
    status, case = say("accept", user="rita", reason="fine")
    assert (status, case["state"], case["annotation_id"], case["task"]) == (200, "accepted", label, TASK)

    trail = http.get("/carina/audit", params={"image": "case-a"}).json()["entries"]
    assert [(entry["action"], entry["user"]) for entry in trail] == [
        ("draft", "anna"), ("submit", "anna"), ("accept", "rita"),
    ]  # fmt: skip
    assert trail[0]["details"]["model_version"] == "v7"
    (version,) = http.get("/carina/annotations/case-a").json()
    assert (version["time_spent_s"], version["model_version"]) == (95.5, "v7")


def test_cases_are_listed_by_state_and_task_and_counted(http, read, say):
    read("anna"), read("anna", "case-b")
    say("reject", "case-b", reason="sides swapped")
    answer = http.get("/carina/cases", params={"state": "rejected", "task": TASK}).json()
    assert [case["image_id"] for case in answer["cases"]] == ["case-b"]
    assert (answer["counts"]["submitted"], answer["counts"]["rejected"]) == (1, 1)
    assert http.get("/carina/cases?limit=1&offset=1").json()["cases"][0]["image_id"] == "case-b"
    assert http.get("/carina/cases?state=done").status_code == 422
    assert http.get("/info/").json()["datastore"]["cases"]["rejected"] == 1


def test_what_the_table_does_not_allow_is_a_conflict_that_says_what_is_possible(http, read, say):
    status, refusal = say("accept")
    assert (status, refusal["error"]) == (409, "ConflictError")
    assert "unlabelled" in refusal["detail"]
    read("anna")
    assert say("accept")[0] == 200
    status, refusal = say("reject")
    assert status == 409
    assert "accepted" in refusal["detail"]
    assert "reopen" in refusal["detail"]
    assert say("reopen")[1]["state"] == "reopened"


def test_a_label_on_accepted_work_is_stored_all_the_same(http, read, say):
    first = read("anna")
    say("accept")
    second = read("bert")
    assert [version["id"] for version in http.get("/carina/annotations/case-a").json()] == [first, second]
    assert http.get("/datastore?output=train").json() == [{"image": "case-a", "label": first}]


def test_rejected_work_is_no_training_pair_but_stays_a_label(http, read, say):
    label = read("anna")
    say("reject")
    assert http.get("/datastore?output=train").json() == []
    info = http.get("/datastore/label/info", params={"label": "case-a", "tag": "final"}).json()
    assert info["id"] == label


def test_skipping_takes_a_reason_and_an_image_that_is_there(http, say):
    assert say("skip", task=TASK)[0] == 422
    assert say("skip", "case-z", reason="motion")[0] == 404
    status, case = say("skip", task=TASK, reason="motion", user="anna")
    assert (status, case["state"], case["reason"]) == (200, "skipped", "motion")


def test_a_task_that_nobody_knows_is_a_404_and_several_need_a_name(http, read, say):
    assert say("accept", task="thorax")[0] == 404
    read("anna")
    read("anna", task="wholebody_ct")
    status, refusal = say("accept")
    assert (status, refusal["error"]) == (422, "InvalidInputError")
    assert say("accept", task="wholebody_ct")[0] == 200


def test_parameters_are_checked(read, say, save_label):
    assert save_label(params={"label_info": INFO, "time_spent_s": "soon"}).status_code == 422
    read("anna")
    assert say("accept", reason="x" * 501)[0] == 422
    assert say("accept", user=5)[0] == 422
    assert say("accept", path="/etc")[0] == 400
    assert say("accept", annotation="../x")[0] == 400


@pytest.mark.parametrize("tag", ["consensus", "history"])
def test_the_tags_of_labels_the_server_makes_are_its_own(save_label, tag):
    assert save_label(tag=tag).status_code == 422


def test_two_readers_make_a_consensus_that_counts_once_accepted(http, read, say):
    labels = [read("anna"), read("bert")]
    merged = http.post("/carina/annotations/case-a/consensus", json={"method": "majority", "user": "rita"})
    assert merged.status_code == 200, merged.text
    answer = merged.json()
    assert (answer["tag"], answer["origin"], sorted(answer["sources"])) == ("consensus", "automatic", sorted(labels))
    assert http.get("/datastore/label", params={"label": answer["id"], "tag": "consensus"}).status_code == 200
    assert say("accept", annotation=answer["id"])[1]["annotation_id"] == answer["id"]
    assert http.get("/datastore?output=train").json() == [{"image": "case-a", "label": answer["id"]}]


def test_one_reader_is_no_consensus(http, read):
    read("anna")
    answer = http.post("/carina/annotations/case-a/consensus")
    assert (answer.status_code, answer.json()["error"]) == (409, "ConflictError")


def test_a_lease_is_taken_shown_kept_from_others_and_released(http):
    taken = http.post("/carina/leases/case-a", json={"client_id": "anna"})
    assert (taken.status_code, taken.json()["holder"]) == (200, "anna")
    assert http.post("/carina/leases/case-a", json={"user": "bert"}).status_code == 409
    assert [lease["image_id"] for lease in http.get("/carina/leases").json()] == ["case-a"]
    assert http.delete("/carina/leases/case-a?user=bert").status_code == 409
    assert http.delete("/carina/leases/case-a").status_code == 422
    assert http.delete("/carina/leases/case-a?user=anna").json() == {"released": True}
    assert http.delete("/carina/leases/case-a?force=true&user=rita").json() == {"released": False}
    assert http.post("/carina/leases/case-a").status_code == 422
    assert http.post("/carina/leases/case-z", json={"user": "anna"}).status_code == 404


def test_the_trail_comes_by_the_page(http, read):
    for user in ("anna", "bert", "carl"):
        read(user)
    first = http.get("/carina/audit?limit=2").json()
    second = http.get("/carina/audit", params={"limit": 2, "after": first["after"]}).json()
    assert [entry["user"] for entry in first["entries"] + second["entries"]] == ["anna", "bert", "carl"]
    assert http.get("/carina/audit", params={"after": second["after"]}).json() == {
        "entries": [], "after": second["after"],
    }  # fmt: skip


def test_a_client_s_notes_cannot_fake_when_an_image_was_offered(http):
    answer = http.put("/datastore/image/info?image=case-a", data={"info": '{"strategy": {"random": {"ts": 1}}}'})
    assert answer.status_code == 422


class TestHandingOut:
    """`/activelearning` hands a case to one client."""

    @pytest.fixture
    def ask(self, http):
        def call(user=None, strategy="first", **params):
            body = {**params, **({"client_id": user} if user else {})}
            answer = http.post(f"/activelearning/{strategy}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json().get("id")

        return call

    @pytest.mark.parametrize("strategy", ["first", "random"])
    def test_two_users_get_different_images_and_a_third_none(self, ask, strategy):
        assert {ask("anna", strategy), ask("bert", strategy)} == {"case-a", "case-b"}
        assert ask("carl", strategy) is None

    def test_a_user_who_asks_again_gets_the_same_image_until_it_is_submitted(self, ask, read):
        assert ask("anna") == ask("anna", "random") == ask("anna") == "case-a"
        read("anna")
        assert ask("anna") == "case-b"

    def test_a_lease_that_ran_out_or_was_released_lets_the_next_have_the_image(self, http, services, ask):
        LeaseTable(services.annotations.database, duration_s=0).take("case-a", "anna")
        assert ask("bert") == "case-a"
        http.delete("/carina/leases/case-a?user=bert")
        assert ask("carl") == "case-a"

    def test_a_client_without_a_name_is_served_and_holds_nothing(self, http, ask):
        assert ask() == ask() == "case-a"
        assert http.get("/carina/leases").json() == []
        assert ask("user-xyz") == "case-a"  # every Slicer that nobody has given a name
        assert http.get("/carina/leases").json() == []
        assert ask("anna") == "case-a"
        assert ask() == ask("user-xyz") == "case-b"

    def test_skipped_images_are_not_offered_for_their_task_or_for_any(self, ask, say):
        say("skip", "case-a", task=TASK, reason="motion")
        assert ask(model=TASK) == "case-b"
        assert ask(task="wholebody_ct") == "case-a"
        assert ask() == "case-b"

    def test_rejected_and_reopened_work_comes_back(self, ask, read, say):
        read("anna"), read("anna", "case-b")
        assert ask("bert") is None
        say("reject")
        assert ask("bert") == "case-a"
        say("accept", "case-b"), say("reopen", "case-b")
        assert ask("carl") == "case-b"

    def test_skipping_gives_the_image_back(self, http, ask, say):
        assert ask("anna") == "case-a"
        say("skip", "case-a", reason="motion", client_id="anna")
        assert http.get("/carina/leases").json() == []
        assert ask("anna") == "case-b"

    def test_a_task_that_nobody_knows_is_a_404(self, http):
        assert http.post("/activelearning/first", json={"model": "thorax"}).status_code == 404


def test_a_case_s_standing_names_what_may_be_asked_for_now_and_who_has_it(http, read, say):
    untouched = http.get("/carina/cases/case-a/standing", params={"task": TASK}).json()
    assert (untouched["state"], untouched["lease"]) == ("unlabelled", None)
    assert untouched["actions"] == {"submit": {"needs_reason": False}, "skip": {"needs_reason": True}}
    read("anna")
    http.post("/carina/leases/case-a", json={"user": "bert"})
    submitted = http.get("/carina/cases/case-a/standing").json()
    assert (submitted["state"], submitted["user"], submitted["lease"]["holder"]) == ("submitted", "anna", "bert")
    for action in ("accept", "reject", "skip", "reopen"):
        status, _ = say(action, task=TASK, reason="as a trial")
        assert (status == 200) == (action in submitted["actions"])
        submitted = http.get("/carina/cases/case-a/standing").json()
    assert http.get("/carina/cases/case-a/standing", params={"task": "thorax"}).status_code == 404
    assert http.get("/carina/cases/..%2Fx/standing").status_code in (400, 404)


def test_a_page_beyond_what_a_database_counts_is_refused(http):
    for address in ("audit?after", "cases?offset", "jobs/x/events?offset"):
        assert http.get(f"/carina/{address}={10**30}").status_code == 422
