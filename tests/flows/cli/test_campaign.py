"""What `dao campaign` says when it is done, with a campaign that has nothing to do."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from flows.cli.campaign import run_campaign
from flows.cli.main import main
from tasks.config import CampaignConfig
from tasks.run_log import RunLog
from tests.helpers.small_runs import campaign_settings


def nothing_to_do(config: CampaignConfig, command: str) -> None:
    RunLog(config.root, name=config.name, command=command).finish("completed")


def test_the_stages_of_one_of_two_campaigns_of_a_name_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("flows.campaign.campaign", nothing_to_do)
    config = tmp_path / "small settings.yaml"
    config.write_text(yaml.safe_dump(campaign_settings(tmp_path)))
    for name in ("one", "another"):
        run_campaign(config, tmp_path / "all runs" / name)
    said = capsys.readouterr().out.splitlines()[-1]
    monkeypatch.setattr("sys.argv", shlex.split(said.removeprefix("stages: ")))
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "all runs/another" in capsys.readouterr().out.replace("\n", " ")
