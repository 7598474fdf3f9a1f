"""What is not run here is at least linted: images, manifests, compose file, scripts; and they say the same things."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.deployments import POOL, deployments

INFRA = Path(__file__).resolve().parents[1] / "infra"
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))


def tool(name: str) -> str:
    """A linter of the development extra, beside the interpreter or on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install -e '.[dev]')")
    return found


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run([tool("hadolint"), str(INFRA / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_the_image_is_for_cpu_and_cuda_and_holds_every_package() -> None:
    text = (INFRA / "Dockerfile").read_text()
    assert "ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu" in text
    assert re.search(r"--build-arg TORCH_INDEX=\S+/whl/cu\d+", text)
    for package in ("dao_core", "tasks", "flows", "configs"):
        assert f"COPY {package} {package}" in text


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda p: p.name)
def test_manifests_fit_the_kubernetes_api(path: Path) -> None:
    done = subprocess.run(
        [tool("kubernetes-validate"), "--strict", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifests_refer_to_what_is_there() -> None:
    everything = [d for path in MANIFESTS for d in documents(path)]
    names = {(d["kind"], d["metadata"]["name"]) for d in everything}
    text = "".join(path.read_text() for path in MANIFESTS) + (INFRA / "kubernetes" / "job-template.json").read_text()
    assert set(re.findall(r"https?://(dao-[a-z]+):", text)) == {"dao-server"}
    assert ("Service", "dao-server") in names
    assert set(re.findall(r"claimName\W+([a-z-]+)", text)) == {"dao-runs"}
    assert ("PersistentVolumeClaim", "dao-runs") in names
    profile = yaml.safe_load((INFRA.parent / "configs" / "profile-kubernetes.yaml").read_text())
    assert profile["workers"]["address"] == "tls://dao-dask:8786"
    assert ("Service", "dao-dask") in names


def test_the_dask_cluster_lets_nobody_in_without_its_certificate() -> None:
    from tasks.dask_security import SECRET, secret_manifest

    things = {(d["kind"], d["metadata"]["name"]): d for d in documents(INFRA / "kubernetes" / "dask.yaml")}
    for name in ("dao-dask-scheduler", "dao-dask-worker"):
        pod = things["Deployment", name]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        variables = {v["name"]: v["value"] for v in container["env"]}
        assert variables["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        assert "--no-dashboard" in container["command"]
        (tls,) = [v for v in pod["volumes"] if v["name"] == "tls"]
        assert tls["secret"]["secretName"] == SECRET
        (mounted,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "tls"]
        files = {Path(v).name for v in variables.values() if v.startswith(mounted)}
        assert files == set(secret_manifest()["data"])
    assert secret_manifest()["data"] != secret_manifest()["data"]  # a new key each time
    policy = things["NetworkPolicy", "dao-dask"]["spec"]["ingress"][0]["from"]
    labels = {f["podSelector"]["matchLabels"]["app"] for f in policy}
    job = json.loads((INFRA / "kubernetes" / "job-template.json").read_text())
    run = job["job_configuration"]["job_manifest"]["spec"]["template"]["metadata"]["labels"]["app"]
    assert labels == {"dao-dask-worker", run}


def test_workers_take_every_queue() -> None:
    queues = {d.queue for d in deployments()}
    (worker,) = [d for d in documents(INFRA / "kubernetes" / "worker.yaml") if d["kind"] == "Deployment"]
    command = worker["spec"]["template"]["spec"]["containers"][0]["command"]
    assert {command[i + 1] for i, word in enumerate(command) if word == "--work-queue"} == queues
    assert command[command.index("--pool") + 1] == POOL
    script = (INFRA / "server.sh").read_text()
    said = re.search(r"DAO_QUEUES:-([a-z ]+)}", script)
    assert said is not None
    assert set(said.group(1).split()) == queues


def test_the_job_template_names_only_its_variables() -> None:
    template = json.loads((INFRA / "kubernetes" / "job-template.json").read_text())
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_compose_starts_database_server_and_worker_in_order() -> None:
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    assert set(services) == {"database", "server", "worker"}
    assert services["worker"]["depends_on"] == {"server": {"condition": "service_healthy"}}
    assert services["server"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "postgresql+asyncpg" in services["server"]["environment"]["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert "dao deploy" in services["worker"]["command"]
    assert "dao deploy" in (INFRA / "server.sh").read_text().replace('"$BIN/dao" deploy', "dao deploy")
    secrets = re.findall(r"(POSTGRES_PASSWORD|MP_API_KEY): (\S+)", (INFRA / "compose.yaml").read_text())
    assert all(value.startswith("${") for _, value in secrets)


@pytest.mark.parametrize("script", ["compose.yaml", "server.sh"])
def test_the_schedules_database_is_named_by_the_environment(tmp_path: Path, script: str) -> None:
    (tmp_path / "dao").write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    (tmp_path / "dao").chmod(0o755)
    if script == "compose.yaml":
        worker = yaml.safe_load((INFRA / script).read_text())["services"]["worker"]
        assert worker["environment"]["DAO_CRYSDB"] == "${DAO_CRYSDB:-}"
        line = shlex.split(worker["command"])[2].replace("$$", "$").partition("&&")[0]
    else:
        (line,) = [row for row in (INFRA / script).read_text().splitlines() if row.startswith('"$BIN/dao" deploy')]

    def arguments(**variables: str) -> str:
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "BIN": str(tmp_path), **variables}
        return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=True).stdout

    assert arguments(DAO_CHAIN="", DAO_CRYSDB="") == "<deploy>"
    assert arguments(DAO_CHAIN="1", DAO_CRYSDB="a b.yaml") == "<deploy><--chain><--crysdb><a b.yaml>"


@pytest.mark.parametrize("path", sorted([*INFRA.glob("*.sh"), INFRA.parent / ".ci" / "run"]), ids=lambda p: p.name)
def test_scripts_parse(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
