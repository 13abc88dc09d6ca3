"""The manifests in deploy/kubernetes: valid, hardened, and in agreement with the settings and each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest

from api.access.permissions import ENDPOINTS
from api.routes.operations.worker_views import Scaling
from shared.settings import Settings
from tests.support.kustomizations import FOLDER, OVERLAYS, Manifest, containers, name_of, pod_of, rendered
from worker.__main__ import main as worker_main

VERSIONS = ("1.29", "1.37")
"""Kubernetes: an old version that is still in use, and the newest version with schemas."""


def objects(*folders: str) -> Iterator[Manifest]:
    for folder in folders:
        yield from rendered(FOLDER / folder)


EVERYTHING = {name_of(manifest): manifest for manifest in objects(*OVERLAYS, "keda")}
PODS = {name: manifest for name, manifest in EVERYTHING.items() if pod_of(manifest)}
SCALED = {name: manifest for name, manifest in EVERYTHING.items() if manifest["kind"] == "ScaledObject"}
KUBERNETES_OWN = {n: m for n, m in EVERYTHING.items() if "keda.sh" not in m["apiVersion"]}
PROGRAMS = ("Deployment/takt-gateway", "Deployment/takt-worker", "Deployment/takt-worker-gpu")
CLAIMS = {m["metadata"]["name"] for m in EVERYTHING.values() if m["kind"] == "PersistentVolumeClaim"}
SETTINGS: dict[str, str] = EVERYTHING["ConfigMap/takt"]["data"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUBERNETES_OWN)
def test_each_object_is_valid_to_kubernetes(name: str, version: str) -> None:
    kubernetes_validate.validate(KUBERNETES_OWN[name], version, strict=True)


def test_the_schemas_see_what_is_wrong() -> None:
    wrong = EVERYTHING["Deployment/takt-worker"] | {"spec": {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_each_object_once_and_in_one_namespace(overlay: str) -> None:
    found = list(objects(overlay))
    assert len({name_of(manifest) for manifest in found}) == len(found)
    namespaces = {m["metadata"].get("namespace") for m in found if m["kind"] != "Namespace"}
    assert namespaces == {m["metadata"]["name"] for m in found if m["kind"] == "Namespace"}


# -- settings ------------------------------------------------------------------------------------------------


def variables() -> dict[str, str | None]:
    """Every variable of our programs, with its value if it is plain."""
    own = {e["name"]: e.get("value") for m in PODS.values() for c in containers(m) for e in c.get("env", ())}
    return {name: value for name, value in (own | SETTINGS).items() if name.startswith("TAKT_")}


def test_every_variable_is_a_setting_and_its_value_a_good_one() -> None:
    given = {name.removeprefix("TAKT_").lower(): value for name, value in variables().items()}
    assert given.keys() <= Settings.model_fields.keys()
    chosen: dict[str, Any] = given
    settings = Settings(**chosen)
    assert settings.drain_delay_s > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pod_is_given_longer_to_end_than_its_program_takes(name: str) -> None:
    grace_s = float(SETTINGS["TAKT_SHUTDOWN_GRACE_S"])
    assert pod_of(PODS[name])["terminationGracePeriodSeconds"] >= grace_s + 5


@pytest.mark.parametrize("name", PODS)
def test_no_service_sets_a_setting(name: str) -> None:
    # Kubernetes tells pods of the Service `takt` by TAKT_PORT=tcp://…, unless it is told not to
    assert pod_of(PODS[name])["enableServiceLinks"] is False


def test_the_grace_holds_the_drain_delay_and_the_longest_wait() -> None:
    longest_wait_s = Settings.model_fields["max_wait_s"].default
    grace_s, delay_s = float(SETTINGS["TAKT_SHUTDOWN_GRACE_S"]), float(SETTINGS["TAKT_DRAIN_DELAY_S"])
    assert grace_s >= delay_s + longest_wait_s


def test_a_gateway_is_found_not_ready_well_within_its_drain_delay() -> None:
    [gateway] = pod_of(PODS["Deployment/takt-gateway"])["containers"]
    probe = gateway["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] + 2 <= float(SETTINGS["TAKT_DRAIN_DELAY_S"])


# -- probes --------------------------------------------------------------------------------------------------


def test_the_gateway_is_probed_where_it_answers_without_a_key() -> None:
    [gateway] = pod_of(PODS["Deployment/takt-gateway"])["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert ENDPOINTS[gateway[probe]["httpGet"]["path"]]["GET"].open
    assert gateway["ports"][0]["containerPort"] == Settings.model_fields["port"].default


@pytest.mark.parametrize("name", PROGRAMS[1:])
def test_a_worker_is_probed_by_commands_that_it_has(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [worker] = pod_of(PODS[name])["containers"]
    asked: list[list[str]] = [worker[probe]["exec"]["command"] for probe in ("startupProbe", "livenessProbe")]
    for command in asked:
        assert command[:3] == ["python", "-m", "worker"]
        with pytest.raises(SystemExit) as ended:
            worker_main([*command[3:], "--help"])
        assert ended.value.code == 0
    assert "--alive" in asked[1]  # one that drains, or whose queue is away, must not be killed


@pytest.mark.parametrize("name", PROGRAMS[1:])
def test_a_workers_metrics_can_be_scraped(name: str) -> None:
    [worker] = pod_of(PODS[name])["containers"]
    [port] = worker["ports"]
    assert (port["name"], str(port["containerPort"])) == ("metrics", SETTINGS["TAKT_WORKER_METRICS_PORT"])
    [rule] = EVERYTHING[f"NetworkPolicy/{name.partition('/')[2]}"]["spec"]["ingress"]
    assert [opened["port"] for opened in rule["ports"]] == [port["containerPort"]]


# -- hardening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_no_pod_is_root_or_can_become_so_or_write_to_its_image(name: str) -> None:
    pod = pod_of(PODS[name])
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(PODS[name]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", PODS)
def test_every_mount_has_its_volume_and_models_lie_on_no_shared_volume(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(PODS[name]).get("volumes", ())}
    claimed = {claim["metadata"]["name"] for claim in PODS[name]["spec"].get("volumeClaimTemplates", ())}
    for container in containers(PODS[name]):
        for mount in container["volumeMounts"]:
            assert mount["name"] in volumes.keys() | claimed
            if mount["name"] == "model-cache":
                assert "emptyDir" in volumes["model-cache"]
    claims = [volume.get("persistentVolumeClaim") for volume in volumes.values()]
    assert {claim["claimName"] for claim in claims if claim} <= CLAIMS


def test_a_gpu_worker_takes_one_gpu_and_says_so_to_takt() -> None:
    pod = pod_of(PODS["Deployment/takt-worker-gpu"])
    [worker] = pod["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "TAKT_DEVICE", "value": "cuda:0"} in worker["env"]
    assert pod["nodeSelector"]
    assert pod["tolerations"]


def test_each_image_has_a_version() -> None:
    for manifest in PODS.values():
        for container in containers(manifest):
            assert re.fullmatch(r"[\w./-]+:[\w.-]+", container["image"])
            assert not container["image"].endswith(":latest")


# -- what selects what ---------------------------------------------------------------------------------------


def selectors() -> Iterator[tuple[str, dict[str, str]]]:
    for name, manifest in EVERYTHING.items():
        spec = manifest.get("spec", {})
        found = spec.get("podSelector", spec.get("selector"))
        if found:
            yield name, found.get("matchLabels", found)


@pytest.mark.parametrize("labels", [pytest.param(labels, id=name) for name, labels in selectors()])
def test_every_selector_finds_pods(labels: dict[str, str]) -> None:
    templates = [manifest["spec"]["template"]["metadata"]["labels"] for manifest in PODS.values()]
    assert any(labels.items() <= pod.items() for pod in templates)


@pytest.mark.parametrize("component", ["gateway", "worker", "worker-gpu"])
def test_what_is_scaled_has_a_disruption_budget_that_lets_one_go(component: str) -> None:
    assert EVERYTHING[f"PodDisruptionBudget/takt-{component}"]["spec"]["maxUnavailable"] == 1
    # or else the number that an autoscaler, or a person, has chosen would not stay
    assert "replicas" not in EVERYTHING[f"Deployment/takt-{component}"]["spec"]


# -- KEDA ----------------------------------------------------------------------------------------------------

_SPEC = {
    "scaleTargetRef",
    "pollingInterval",
    "minReplicaCount",
    "maxReplicaCount",
    "fallback",
    "advanced",
    "triggers",
}


@pytest.mark.parametrize("name", SCALED)
def test_a_scaled_object_scales_what_is_there_as_an_autoscaler_of_kubernetes_would(name: str) -> None:
    spec = SCALED[name]["spec"]
    assert spec.keys() <= _SPEC
    target = f"Deployment/{spec['scaleTargetRef']['name']}"
    assert target in EVERYTHING
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "made-by-keda"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment"} | spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }
    kubernetes_validate.validate(autoscaler, VERSIONS[1], strict=True)
    for trigger in spec["triggers"]:
        assert {type(value) for value in trigger["metadata"].values()} == {str}, "KEDA takes nothing else"


def test_workers_are_scaled_by_the_number_that_the_gateway_answers() -> None:
    spec = SCALED["ScaledObject/takt-worker"]["spec"]
    [trigger] = spec["triggers"]
    asked = trigger["metadata"]
    shape = r"http://(\S+)\.(\S+)\.svc(/scaling)\?min_workers=(\d+)&max_workers=(\d+)"
    found = re.fullmatch(shape, asked["url"])
    assert found is not None
    service, namespace, path, least, most = found.groups()
    assert EVERYTHING[f"Service/{service}"]["metadata"]["namespace"] == namespace
    assert path in ENDPOINTS
    assert (int(least), int(most)) == (spec["minReplicaCount"], spec["maxReplicaCount"])
    assert (asked["valueLocation"], asked["targetValue"]) == ("wanted_workers", "1")
    assert Scaling.model_fields["wanted_workers"].annotation is int
    login = EVERYTHING[f"TriggerAuthentication/{trigger['authenticationRef']['name']}"]
    assert [each["parameter"] for each in login["spec"]["secretTargetRef"]] == ["token"]
