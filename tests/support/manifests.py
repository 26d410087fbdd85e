"""What kustomize makes of the manifests, and readers for what it says of the settings."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
OVERLAYS = ("development", "production-azure")


@cache
def manifests(overlay: str) -> list[dict[str, Any]]:
    """The objects of an overlay, as `kubectl` builds them."""
    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    built = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return list(yaml.safe_load_all(built.stdout))


def of_kind(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    """Objects by name."""
    return {one["metadata"]["name"]: one for one in manifests(overlay) if one["kind"] == kind}


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """Specifications of the pods by the name of what makes them."""
    kinds = {**of_kind(overlay, "Deployment"), **of_kind(overlay, "StatefulSet")}
    return {name: one["spec"]["template"]["spec"] for name, one in kinds.items()}


def containers(overlay: str) -> list[tuple[str, dict[str, Any]]]:
    """Every container with a name for messages."""
    return [
        (f"{name}/{one['name']}", one)
        for name, pod in pods(overlay).items()
        for one in [*pod.get("initContainers", []), *pod["containers"]]
    ]
