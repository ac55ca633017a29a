"""The app folder as monailabel's own loader finds and uses it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import find_tasks

SCRIPT = """
import json, sys
from carina.server import compat
compat.install()
from monailabel.interfaces.utils.app import app_instance
import carina.registry

app = app_instance(sys.argv[1], sys.argv[2], {"any": "thing"})
assert "carina.registry" in sys.modules  # the loader deletes modules called lib, not ours
answer = {"class": type(app).__name__, "info": app.info(), "sample": app.next_sample({"strategy": "first"})}
answer["drafts"] = []
for server_mode in (False, True):
    app.server_mode(server_mode)
    drafted = app.infer({"model": "thorax_ct", "image": "case-a"})
    answer["drafts"].append({"file": drafted["file"], "params": drafted["params"]})
store = app.datastore()
label = store.save_label("case-a", answer["drafts"][0]["file"], "final", {"model": "thorax_ct"})
answer["labelled"] = store.get_labeled_images()
answer["unlabelled"] = store.get_unlabeled_images()
answer["of_image"] = store.get_label_by_image_id("case-a", "final") == label
answer["datalist"] = store.datalist()
answer["status"] = store.status()
answer["trainers"] = {name: task.config()["max_epochs"] for name, task in app._trainers.items()}
app.close()
print(json.dumps(answer))
"""


@pytest.mark.slow
def test_the_app_drafts_lists_and_stores_through_monailabel_s_loader(settings, images, monkeypatch):
    spec = find_tasks().get("thorax_ct")
    torch.manual_seed(0)
    models = ModelStore(settings.models_dir)
    models.add(spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    models.promote(spec.name, "v1", reason="test")
    monkeypatch.setenv("CARINA_HOME", str(settings.home))
    app = Path(find_spec("carina.apps.radiology").submodule_search_locations[0])

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(app), str(images)], capture_output=True, text=True, timeout=500
    )

    assert done.returncode == 0, done.stderr[-3000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["class"] == "RadiologyApp"
    assert set(answer["info"]["models"]) == set(find_tasks().names)
    assert answer["sample"]["id"] == "case-a"
    assert [draft["params"]["model_version"] for draft in answer["drafts"]] == ["v1", "v1"]
    first, second = (np.fromfile(draft["file"], np.uint8) for draft in answer["drafts"])
    assert first.size
    assert second.size
    assert (answer["labelled"], answer["unlabelled"], answer["of_image"]) == (["case-a"], ["case-b"], True)
    assert Path(answer["datalist"][0]["label"]).is_file()
    assert answer["status"]["completed"] == 1
    assert answer["trainers"]["thorax_ct"] == spec.trainer.max_epochs
