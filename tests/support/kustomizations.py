"""Renderer of the Kubernetes manifests for the kustomize features in use: resources, namespace, images.

Any other key in a kustomization.yaml raises an error, so that nothing is ignored silently. If kubectl is
installed, a test compares both outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object (Any: JSON)."""

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("overlays/cpu", "overlays/gpu")
_KNOWN = {"apiVersion", "kind", "resources", "namespace", "images"}
_CLUSTER_WIDE = {"Namespace"}


def rendered(folder: Path) -> list[Manifest]:
    """Every object of the kustomization in a folder. Raises ValueError for an unsupported key."""
    found: Manifest = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    if unknown := found.keys() - _KNOWN:
        raise ValueError(f"{folder}: this reader knows no {sorted(unknown)}")
    manifests = [manifest for name in found["resources"] for manifest in _resource(folder / name)]
    for manifest in manifests:
        if "namespace" in found and manifest["kind"] not in _CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = found["namespace"]
        _name_images(manifest, found.get("images", []))
    return manifests


def name_of(manifest: Manifest) -> str:
    """`Deployment/takt-worker`"""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def containers(manifest: Manifest) -> Iterator[Manifest]:
    """The containers of an object with a pod template, including init containers."""
    pod = pod_of(manifest)
    yield from [*pod.get("initContainers", ()), *pod.get("containers", ())]


def pod_of(manifest: Manifest) -> Manifest:
    """The pod template of an object; empty if there is none."""
    found: Manifest = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return found


def _resource(path: Path) -> list[Manifest]:
    if path.is_dir():
        return rendered(path.resolve())
    # a copy, because YAML aliases share an object
    return [copy.deepcopy(each) for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def _name_images(manifest: Manifest, images: list[Manifest]) -> None:
    named = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in images}
    for container in containers(manifest):
        container["image"] = named.get(container["image"], container["image"])
