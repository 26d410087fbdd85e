"""The manifests: built by kubectl, read by the schemas of Kubernetes and KEDA, and held to what the workers need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cache import cached
from support.manifests import DEPLOY, OVERLAYS, containers, manifests, of_kind, pods

from packhouse.schemas.keys import Keys
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

VALIDATOR = "kubernetes-validate==1.37.0"
KEDA = "@kubernetes-models/keda@2.0.0"
SETTINGS = {f"PACKHOUSE_{name.upper()}" for name in Settings.model_fields} | {"PACKHOUSE_SECRETS_DIR"}

_KEDA_CHECK = """
import fs from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
for (const object of JSON.parse(fs.readFileSync(0, "utf8"))) {
  try { new keda[object.kind](object).validate(); } catch (error) { console.log(object.metadata.name, error.message); }
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
def keda_checker() -> Path:
    def install(folder: Path) -> None:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        subprocess.run([*command, KEDA], check=True)

    return cached("npm/keda-2.0.0-with-dependencies", install)


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


def keda_says(checker: Path, objects: list[dict[str, Any]]) -> str:
    (checker / "check.mjs").write_text(_KEDA_CHECK)
    ended = subprocess.run(
        ["node", "check.mjs"], cwd=checker, input=json.dumps(objects), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_keda_knows_every_field(overlay: str, keda_checker: Path) -> None:
    scalers = [one for one in manifests(overlay) if "keda.sh" in one["apiVersion"]]
    assert {one["kind"] for one in scalers} == {"ScaledObject", "TriggerAuthentication"}
    assert keda_says(keda_checker, scalers) == "checked"
    broken = json.loads(json.dumps(scalers).replace('"scaleTargetRef"', '"target"'))
    assert keda_says(keda_checker, broken) != "checked"


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
