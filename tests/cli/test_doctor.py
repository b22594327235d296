"""What doctor says of language models and coding agents, none of which local arms need."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

CANARY = "sk-canary-0123456789-never-to-be-seen"


@pytest.fixture
def findings(cli):
    def look(status=0):
        return {item["what"]: item for item in cli("doctor", "--json", status=status).json}

    return look


@pytest.fixture
def litellm(monkeypatch):
    """Pretends that a version of LiteLLM is installed; None for none."""
    real = importlib.metadata.version

    def install(version):
        def found(name):
            if name != "litellm":
                return real(name)
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(importlib.metadata, "version", found)

    return install


@pytest.mark.parametrize(("provider", "variable"), [("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")])
def test_a_key_is_named_and_never_shown(findings, cli, monkeypatch, provider, variable):
    monkeypatch.setenv(variable, CANARY)
    found = findings()[f"provider {provider}"]
    assert (found["ok"], found["needed"], found["detail"]) == (True, False, f"{variable} is set")
    answer = cli("doctor")
    assert CANARY[:8] not in answer.out + answer.err


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_no_failure(findings, monkeypatch, value):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    found = findings()["provider openai"]
    assert (found["ok"], found["needed"]) == (False, False)
    assert found["detail"] == "OPENAI_API_KEY is not set; openai/MODEL needs it, openai/MODEL@URL and local arms do not"


@pytest.mark.parametrize(
    ("version", "ok", "detail"),
    [
        ("1.90.1", True, "litellm 1.90.1;"),
        (None, False, "is not installed; litellm/PROVIDER/MODEL needs it, other models and local arms"),
    ],
)
def test_litellm_may_be_missing(findings, litellm, version, ok, detail):
    litellm(version)
    found = findings()["provider litellm"]
    assert (found["ok"], found["needed"]) == (ok, False)
    assert detail in found["detail"]


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_a_litellm_that_steals_keys_fails(findings, litellm, version):
    litellm(version)
    assert f"litellm {version} steals keys" in findings(status=1)["provider litellm"]["detail"]


def test_agents_are_looked_for_on_the_path(findings, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    agent = tmp_path / "bin" / "codex"
    agent.write_text("#!/bin/sh\nexit 1\n")
    agent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = findings()
    assert (found["agent codex"]["ok"], found["agent codex"]["detail"]) == (True, str(agent))
    assert (found["agent claude"]["ok"], found["agent claude"]["needed"]) == (False, False)
    assert "agent/claude needs it, local arms do not: npm install" in found["agent claude"]["detail"]


def test_no_sdk_is_imported_to_find_that_out(tmp_path):
    script = (
        "import sys\nfrom evolve.cli.main import main\ntry:\n    main(['doctor', '--json'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'openai', 'anthropic', 'litellm', 'httpx'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert ran.stderr.strip().splitlines()[-1] == "[]"


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """Pretends that a version of Ray is installed, None for none, and that nothing else is known of a cluster."""
    real = importlib.metadata.version
    for variable in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def install(version):
        def found(name):
            if name != "ray":
                return real(name)
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(importlib.metadata, "version", found)

    return install


def test_ray_that_is_not_installed_is_no_failure(findings, ray):
    ray(None)
    found = findings()["ray"]
    assert (found["ok"], found["needed"]) == (False, False)
    assert "pip install 'evolve-platform[ray]'" in found["detail"]


def test_ray_is_named_with_its_version_and_whether_a_token_is_there(findings, ray):
    ray("2.60.0")
    found = findings()["ray"]
    assert (found["ok"], found["needed"]) == (True, False)
    assert found["detail"] == "ray 2.60.0; a cluster's token is not to be found here"


@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_token_of_a_cluster_is_found_and_never_shown(findings, cli, ray, monkeypatch, tmp_path, where):
    ray("2.60.0")
    if where == "variable":
        monkeypatch.setenv("RAY_AUTH_TOKEN", CANARY)
    else:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(CANARY)
    assert findings()["ray"]["detail"] == "ray 2.60.0; a cluster's token is to be found here"
    answer = cli("doctor")
    assert CANARY[:8] not in answer.out + answer.err
