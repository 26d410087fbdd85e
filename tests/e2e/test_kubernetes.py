"""The manifests: built by kubectl, read by the schemas of Kubernetes and KEDA, and held to what the workers need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cache import cached
from support.manifests import DEPLOY, OVERLAYS, containers, manifests, of_kind, pods

from packhouse.schemas.keys import Keys
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

VALIDATOR = "kubernetes-validate==1.37.0"
KEDA = "@kubernetes-models/keda@2.0.0"
OPERATOR = "@kubernetes-models/prometheus-operator@6.0.0"
TYPESCRIPT = "typescript@5.9.3"
SETTINGS = {f"PACKHOUSE_{name.upper()}" for name in Settings.model_fields} | {"PACKHOUSE_SECRETS_DIR"}

_MODELS = {
    "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
_CHECK = """
import fs from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as operator from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
const known = {...keda, ...operator};
for (const object of JSON.parse(fs.readFileSync(0, "utf8"))) {
  try { new known[object.kind](object).validate(); } catch (error) { console.log(object.metadata.name, error.message); }
}
console.log("checked");
"""


@pytest.fixture(scope="module")
def validator() -> Path:
    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-qq", VALIDATOR], check=True)

    return cached(f"venvs/{VALIDATOR}", install) / "bin" / "python"


@pytest.fixture(scope="module")
def checker() -> Path:
    def install(folder: Path) -> None:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        subprocess.run([*command, KEDA, OPERATOR, TYPESCRIPT], check=True)

    return cached("npm/keda-2.0.0-prometheus-operator-6.0.0-typescript", install)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("version", ["1.29", "1.34"])
def test_kubernetes_knows_every_field(overlay: str, version: str, validator: Path, tmp_path: Path) -> None:
    ours = [one for one in manifests(overlay) if "keda.sh" not in one["apiVersion"]]
    assert len(ours) > 15
    (tmp_path / "objects.json").write_text(json.dumps(ours))
    script = (
        "import json, sys, kubernetes_validate\n"
        "for one in json.load(open(sys.argv[1])):\n"
        "    kubernetes_validate.validate(one, sys.argv[2], strict=True)\n"
        "    print(one['kind'])\n"
    )
    ended = subprocess.run(
        [str(validator), "-c", script, str(tmp_path / "objects.json"), version],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert len(ended.stdout.split()) == len(ours)


def models_say(checker: Path, objects: list[dict[str, Any]]) -> str:
    """What the schemas say of values, and then the types of fields that they do not know."""
    (checker / "check.mjs").write_text(_CHECK)
    ended = subprocess.run(
        ["node", "check.mjs"], cwd=checker, input=json.dumps(objects), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip().removesuffix("checked") + types_say(checker, objects)


def types_say(checker: Path, objects: list[dict[str, Any]]) -> str:
    """The schemas pass over fields that they do not know; a literal of a type may have no such field."""
    lines: list[str] = []
    for number, one in enumerate(objects):
        kind = f"I{one['kind']}"
        lines += [
            f'import type {{ {kind} as T{number} }} from "{_MODELS[one["apiVersion"]]}/{one["kind"]}";',
            f"export const o{number}: T{number} = {json.dumps(one)};",
        ]
    (checker / "check.ts").write_text("\n".join(lines))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext"]
    ended = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", *options, "check.ts"],
        cwd=checker,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not ended.stderr
    return ended.stdout.strip()


def broken(one: dict[str, Any], field: str, value: object) -> dict[str, Any]:
    """The object with one more field, or another value of one, in its specification."""
    return {**one, "spec": {**one["spec"], field: value}}


def test_keda_and_the_operator_of_prometheus_know_every_field(checker: Path) -> None:
    scalers = [one for overlay in OVERLAYS for one in manifests(overlay) if "keda.sh" in one["apiVersion"]]
    assert {one["kind"] for one in scalers} == {"ScaledObject", "TriggerAuthentication"}
    monitor = yaml.safe_load((DEPLOY / "monitoring" / "podmonitor.yaml").read_text("utf-8"))
    assert not models_say(checker, [*scalers, monitor])
    scaler = next(one for one in scalers if one["kind"] == "ScaledObject")
    wrong = [
        broken(scaler, "polingInterval", 5),
        broken(scaler, "minReplicaCount", "one"),
        broken(monitor, "endpoints", []),
    ]
    told = models_say(checker, wrong)
    assert all(field in told for field in ("polingInterval", "minReplicaCount", "endpoints")), told


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_image_moves_and_no_container_is_without_limits_and_probes(overlay: str) -> None:
    for name, container in containers(overlay):
        tag = container["image"].rpartition("/")[2].partition(":")[2]
        assert tag, name
        assert tag != "latest", name
        for kind in ("requests", "limits"):
            assert set(container["resources"][kind]) == {"cpu", "memory"}, name
        assert {"livenessProbe", "readinessProbe"} <= set(container), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_locked_down(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["serviceAccountName"] in of_kind(overlay, "ServiceAccount"), name
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume], name
    for name, container in containers(overlay):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_in_the_manifests_and_those_that_are_named_are_the_documented_ones(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    named = {
        volume["secret"]["secretName"]
        for pod in pods(overlay).values()
        for volume in pod["volumes"]
        if "secret" in volume
    }
    for trigger in of_kind(overlay, "TriggerAuthentication").values():
        named |= {reference["name"] for reference in trigger["spec"]["secretTargetRef"]}
    readme = (DEPLOY / "README.md").read_text("utf-8")
    assert named
    assert all(f"`{name}`" in readme for name in named), named


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_queue_has_a_deployment_a_scaler_on_its_open_jobs_and_a_disruption_budget(overlay: str) -> None:
    deployments = of_kind(overlay, "Deployment")
    served: dict[str, str] = {}
    for name, one in deployments.items():
        arguments = one["spec"]["template"]["spec"]["containers"][0]["args"]
        if "--queues" in arguments:
            served |= dict.fromkeys(arguments[arguments.index("--queues") + 1].split(","), name)
    assert set(served) == set(QUEUES)
    scaled: dict[str, str] = {}
    for one in of_kind(overlay, "ScaledObject").values():
        spec = one["spec"]
        (trigger,) = spec["triggers"]
        assert spec["minReplicaCount"] >= 1
        assert trigger["authenticationRef"]["name"] in of_kind(overlay, "TriggerAuthentication")
        scaled[trigger["metadata"]["stream"]] = spec["scaleTargetRef"]["name"]
    assert scaled == {f"{Keys().prefix}open:{queue}": name for queue, name in served.items()}
    budgets = [one["spec"]["selector"]["matchLabels"] for one in of_kind(overlay, "PodDisruptionBudget").values()]
    assert all(deployments[name]["spec"]["selector"]["matchLabels"] in budgets for name in served.values())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting_and_workers_have_the_time_to_stop(overlay: str) -> None:
    (values,) = (
        one["data"] for one in of_kind(overlay, "ConfigMap").values() if "PACKHOUSE_ROOTS" in one.get("data", {})
    )
    told = set(values) | {
        variable["name"] for _, container in containers(overlay) for variable in container.get("env", [])
    }
    assert {name for name in told if name.startswith("PACKHOUSE_")} <= SETTINGS
    Settings(**{name.removeprefix("PACKHOUSE_").lower(): value for name, value in values.items()}).path_map  # noqa: B018
    for name, pod in pods(overlay).items():
        if pod["containers"][0]["name"] == "worker":
            grace = float(values["PACKHOUSE_SOFT_SHUTDOWN_SECONDS"])
            assert pod["terminationGracePeriodSeconds"] == grace + 15, name
            assert pod["containers"][0]["livenessProbe"]["exec"]["command"] == ["packhouse", "health", "--live"]
            assert pod["containers"][0]["readinessProbe"]["exec"]["command"] == ["packhouse", "health", "--ready"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_finds_workers_where_the_policy_lets_it_in(overlay: str) -> None:
    monitor = yaml.safe_load((DEPLOY / "monitoring" / "podmonitor.yaml").read_text("utf-8"))
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = of_kind(overlay, "NetworkPolicy")["packhouse-workers-in"]["spec"]["ingress"][0]["ports"]
    (values,) = (
        one["data"] for one in of_kind(overlay, "ConfigMap").values() if "PACKHOUSE_ROOTS" in one.get("data", {})
    )
    assert values["PACKHOUSE_METRICS_PORT"] == str(port["port"])
    found: list[str] = []
    for name, one in of_kind(overlay, "Deployment").items():
        made = one["spec"]["template"]["metadata"]
        if monitor["spec"]["selector"]["matchLabels"].items() <= made["labels"].items():
            ports = {each["name"]: each["containerPort"] for each in pods(overlay)[name]["containers"][0]["ports"]}
            assert ports[endpoint["port"]] == port["port"]
            assert made["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": str(port["port"])}
            found.append(name)
    assert found == ["packhouse-azureml", "packhouse-ranking", "packhouse-zipfile"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_workers_keep_fits_into_the_volume_that_it_lies_on(overlay: str) -> None:
    (values,) = (
        one["data"] for one in of_kind(overlay, "ConfigMap").values() if "PACKHOUSE_ROOTS" in one.get("data", {})
    )
    for name in ("packhouse-zipfile", "packhouse-azureml"):
        pod = pods(overlay)[name]
        arguments = pod["containers"][0]["args"]
        slots = int(arguments[arguments.index("--concurrency") + 1])
        kept = int(values["PACKHOUSE_CACHE_BYTES"]) + int(values["PACKHOUSE_BLOB_CACHE_BYTES"])
        kept += slots * int(values["PACKHOUSE_CHECK_COPY_BYTES"])
        (size,) = (one["emptyDir"]["sizeLimit"] for one in pod["volumes"] if one["name"] == "cache")
        assert kept < quantity(size), name


def test_the_server_refuses_before_it_is_out_of_memory() -> None:
    (container,) = pods("development")["packhouse-redis"]["containers"]
    arguments = container["args"]
    limit = quantity(container["resources"]["limits"]["memory"])
    assert quantity(arguments[arguments.index("--maxmemory") + 1].replace("gb", "Gi")) <= limit / 2


def quantity(text: str) -> int:
    """Bytes of a quantity of Kubernetes with a binary suffix."""
    return int(text[:-2]) * 1024 ** (("Ki", "Mi", "Gi").index(text[-2:]) + 1)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_reaches_a_pod_but_what_a_policy_names(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["packhouse-nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_to = {
        (port["port"], source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
        for rule in policies["packhouse-flower-in"]["spec"]["ingress"]
        for port in rule["ports"]
        for source in rule["from"]
    }
    assert open_to == {(8080, "ingress-nginx"), (5555, "monitoring")}
    (rule,) = policies["packhouse-workers-in"]["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [9540]
    assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    for policy in policies.values():
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], "an empty list lets everybody in"
            assert rule["ports"]
    (service,) = (one for one in of_kind(overlay, "Service").values() if one["metadata"]["name"].endswith("flower"))
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["web"]


def test_workers_of_the_production_sign_in_as_a_managed_identity() -> None:
    account = of_kind("production-azure", "ServiceAccount")["packhouse-worker"]
    assert "azure.workload.identity/client-id" in account["metadata"]["annotations"]
    for name, one in of_kind("production-azure", "Deployment").items():
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert ("azure.workload.identity/use" in labels) == (name != "packhouse-flower")
