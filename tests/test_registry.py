"""Names are found, closest names suggested, duplicates refused; third parties add tasks by one file or entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import pytest

import carina.configs
from carina.errors import DuplicateNameError, UnknownNameError
from carina.registry import Registry, find_tasks

TASK_FILE = textwrap.dedent(
    """
    from carina.structures import label_set
    from carina.task import NetworkSpec, TaskSpec, Window

    TASK = TaskSpec(
        name="third_party_liver", kind="segmentation", description="Liver alone.", modality=("CT",), dimension=3,
        labels=label_set("liver"), spacing_mm=(3.0, 3.0, 3.0), intensity=Window(lower=-200, upper=300),
        network=NetworkSpec(name="segresnet"),
    )
    """
)


@dataclass(frozen=True)
class Thing:
    name: str


def test_an_unknown_name_lists_the_closest_and_what_there_is():
    registry: Registry[Thing] = Registry("Task")
    registry.add(Thing("lung_ct"))
    registry.add(Thing("wholebody_ct"))
    with pytest.raises(UnknownNameError, match=r"Task 'lung_tc' .* Did you mean 'lung_ct'\? Available: lung_ct, whole"):
        registry.get("lung_tc")


def test_a_name_is_registered_once():
    registry: Registry[Thing] = Registry("Task")
    registry.add(Thing("a"))
    with pytest.raises(DuplicateNameError, match="'a' must be registered once"):
        registry.add(Thing("a"))


def test_the_shipped_tasks_are_found():
    assert {"thorax_ct", "wholebody_ct"} <= set(find_tasks().names)


@pytest.fixture
def dropped_file(tmp_path, monkeypatch):
    (tmp_path / "third_party_liver.py").write_text(TASK_FILE)
    monkeypatch.setattr(carina.configs, "__path__", [*carina.configs.__path__, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("carina.configs.third_party_liver", None)


@pytest.mark.usefixtures("dropped_file")
def test_a_file_dropped_into_configs_is_a_task():
    assert find_tasks().get("third_party_liver").labels.names == ("liver",)


def test_two_files_that_claim_one_name_are_refused(dropped_file):
    (dropped_file / "the_same_again.py").write_text(TASK_FILE)
    try:
        with pytest.raises(DuplicateNameError, match="third_party_liver"):
            find_tasks()
    finally:
        sys.modules.pop("carina.configs.the_same_again", None)


def test_another_package_adds_a_task_through_its_entry_point(tmp_path):
    (tmp_path / "hospital_tasks.py").write_text(TASK_FILE)
    info = tmp_path / "hospital_tasks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hospital-tasks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[carina.tasks]\nliver = hospital_tasks:TASK\n")
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            "from carina.registry import find_tasks; print(find_tasks().get('third_party_liver').name)",
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "third_party_liver"
