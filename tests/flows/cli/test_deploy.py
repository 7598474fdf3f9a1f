"""`dao deploy --crysdb`: what may go to a server. How it gets there: tests/server/test_deployments.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.cli.deploy import crysdb_settings


def test_a_key_is_not_sent_to_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, path = "k" * 32, tmp_path / "mp.yaml"
    path.write_text(f"sources: [{{kind: sample}}, {{kind: materials_project, api_key: {key}}}]\n")
    with pytest.raises(SystemExit):
        crysdb_settings(path)
    said = capsys.readouterr().err
    for part in ("sources.1.api_key", "MP_API_KEY", "api_key_block"):
        assert part in said
    assert key not in said
    path.write_text("sources: [{kind: materials_project, api_key_block: mp}]\n")
    assert crysdb_settings(path) == {"sources": [{"kind": "materials_project", "api_key_block": "mp"}]}
