from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import pytest

import carina as package

CARINA = Path(sys.executable).with_name("carina")
COMMANDS = (
    "up",
    "demo",
    "doctor",
    "tasks",
    "phantom",
    "import",
    "infer",
    "train",
    "pretrain",
    "evaluate",
    "similar",
    "simulate",
    "models",
    "weights",
    "mlflow",
)
GROUPS = ("models", "weights")


def test_help_lists_every_command(carina):
    ran = carina("--help")

    assert ran.exit_code == 0
    assert all(command in ran.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in GROUPS])
def test_the_help_of_every_command_has_an_example_and_json(carina, command):
    ran = carina(command, "--help")

    assert ran.exit_code == 0
    assert f"carina {command}" in ran.stdout.replace("Usage:", "", 1).split("\n", 3)[3]
    assert "Example" in ran.stdout
    assert "--json" in ran.stdout


@pytest.mark.parametrize("group", ["models", "annotations", "jobs", "weights", "deliveries"])
def test_groups_offer_their_commands_and_nothing_of_the_shell(carina, group):
    ran = carina(group, "--help")

    assert ran.exit_code == 0
    assert "list" in ran.stdout
    assert "completion" not in ran.stdout


def test_says_its_version(carina):
    assert carina("--version").stdout.strip() == f"carina {package.__version__}"


@pytest.mark.parametrize("arguments", [["--help"], ["tasks"], ["tasks", "--json"], ["infer", "--help"]])
def test_starts_without_torch_and_monai(arguments):
    program = (
        "import sys\n"
        "from carina.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'monai', 'monailabel', 'mlflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_wrong_command_line_exits_with_2_and_still_ends_in_json():
    done = subprocess.run([CARINA, "infer", "--nonsense", "--json"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[-1])["error"] == "UsageError"
    assert "nonsense" in done.stderr


def test_an_error_is_one_line_on_stderr_and_an_object_on_stdout(carina):
    ran = carina("models", "list", "thorax_tc", "--json")

    assert ran.exit_code == 1
    assert ran.json["error"] == "UnknownNameError"
    assert "Did you mean 'thorax_ct'" in ran.json["detail"]
    assert ran.stderr.strip().startswith("Error: Task 'thorax_tc'")
    assert "Traceback" not in ran.stderr


def test_without_json_an_error_leaves_stdout_empty(carina):
    ran = carina("models", "list", "thorax_tc")

    assert ran.exit_code == 1
    assert ran.stdout == ""


@pytest.mark.slow
@pytest.mark.integration
def test_up_says_where_it_serves_and_ends_well_on_ctrl_c(tmp_path):
    (tmp_path / "images").mkdir()
    environment = {**os.environ, "CARINA_HOME": str(tmp_path / "home")}
    command = [CARINA, "up", "--store", tmp_path / "images", "--port", "0", "--json"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            said = json.loads(server.stdout.readline())
            assert httpx.get(f"{said['url']}/health", trust_env=False).status_code == 200
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0
        finally:
            server.kill()

    assert said["home"] == str(tmp_path / "home")
    assert said["pacs_url"] is None


def test_ctrl_c_ends_a_command_with_130(tmp_path):
    command = [CARINA, "phantom", "--out", tmp_path, "--count", "10000"]
    # A shell's background job ignores SIGINT and so would its children; a person's terminal does not.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    ) as running:
        try:
            while not list((tmp_path / "labels").glob("*.nii.gz")):
                assert running.poll() is None
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()

    assert running.returncode == 130
    assert "Traceback" not in said
