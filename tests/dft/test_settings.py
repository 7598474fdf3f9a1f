"""Protocols: the shipped file is valid, a wrong one is refused by field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from dao_core.dft.settings import PROTOCOLS_FILE, DftSettings, ProtocolFileError, load_protocols


def test_shipped_protocols_grow_stricter() -> None:
    protocols = load_protocols()
    fast, balanced, stringent = (protocols.get(n) for n in ("fast", "balanced", "stringent"))
    for name in ("kpoint_distance", "conv_thr_per_atom", "etot_conv_thr_per_atom", "forc_conv_thr", "degauss"):
        values = [getattr(p, name) for p in (fast, balanced, stringent)]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == 3
    assert [p.cutoff_level for p in (fast, balanced, stringent)] == ["low", "normal", "high"]


@pytest.mark.parametrize(("change", "message"), [({"degauss": -1}, "degauss"), ({"degaus": 1}, "degaus")])
def test_wrong_protocol_is_named(tmp_path: Path, change: dict[str, float], message: str) -> None:
    content = yaml.safe_load(PROTOCOLS_FILE.read_text())
    content["fast"].update(change)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ProtocolFileError, match=message):
        DftSettings(protocols_file=path).resolved_protocol()


def test_absent_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ProtocolFileError, match="protocols_file"):
        load_protocols(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ecutwfc": 520.0}, "if it was meant in eV, give 38"),
        ({"ecutwfc": 60.0, "ecutrho": 120.0}, "less than 4 times ecutwfc: give 240"),
    ],
)
def test_cutoffs_that_make_no_sense_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DftSettings(**values)  # type: ignore[arg-type]
    assert DftSettings(ecutwfc=60.0, ecutrho=240.0).ecutrho == 240.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fe": 4.0}, "did you mean Fe"),
        ({"Xx": 4.0}, "pw.x knows no shell of 'Xx'"),
        ({"Na": 4.0}, "pw.x knows no shell of 'Na'"),
        ({"Fe": -400.0}, "U of Fe is -400 eV"),
        ({"Fe": 0.0}, "above 0"),
        ({"Fe": 400.0}, "at most 15"),
        ({"Fe": float("nan")}, "U of Fe is nan"),
        ({"Fe": float("inf")}, "U of Fe is inf"),
    ],
)
def test_a_u_that_pw_x_would_not_take_or_no_shell_has_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DftSettings(hubbard_u=values)
