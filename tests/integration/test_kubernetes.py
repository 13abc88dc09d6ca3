"""The manifests as kubectl renders them are those that the unit tests look at."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from tests.support.kustomizations import FOLDER, OVERLAYS, name_of, rendered

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("folder", [*OVERLAYS, "keda"])
def test_kubectl_renders_what_the_unit_tests_look_at(folder: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed, and no package index that CI may use has it")
    answer = subprocess.run(
        [kubectl, "kustomize", str(FOLDER / folder)], capture_output=True, check=True, text=True
    )
    by_kubectl = {name_of(manifest): manifest for manifest in yaml.safe_load_all(answer.stdout)}
    assert by_kubectl == {name_of(manifest): manifest for manifest in rendered(FOLDER / folder)}
