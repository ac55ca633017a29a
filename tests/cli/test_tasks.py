from __future__ import annotations

from carina.registry import find_tasks


def test_json_holds_every_task_with_its_labels(carina):
    tasks = {task["name"]: task for task in carina("tasks", "--json").json["tasks"]}

    assert set(tasks) == set(find_tasks().names)
    assert tasks["thorax_ct"]["labels"]["nodule"] == 6
    assert tasks["thorax_ct"]["kind"] == "segmentation"
    assert tasks["thorax_ct"]["served"] is None


def test_the_served_version_is_shown(carina, untrained_model):
    tasks = {task["name"]: task for task in carina("tasks", "--json").json["tasks"]}

    assert tasks["thorax_ct"]["served"] == untrained_model == "v1"
    assert "v1" in carina("tasks").stdout
