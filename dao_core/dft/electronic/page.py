"""What the electrons do, for a page: one sentence and the numbers of a plot for each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dao_core.dft.electronic.analysis import Electrons

TITLES = {"bands": "Bands", "states": "Density of states", "elf": "Electron localisation", "bader": "Bader charges"}
CHARGED = 0.1  # electrons below which a charge is not worth a word


def sections(electrons: Electrons) -> list[dict[str, Any]]:
    """The sections of the tab: title, one sentence, data of the plot; a part that failed says why.

    Args:
        electrons: The results of `analyse_electrons`.
    """
    words = {"bands": _bands, "states": _states, "elf": _elf, "bader": _bader}
    out: list[dict[str, Any]] = []
    for part, title in TITLES.items():
        if part in electrons.results:
            result = electrons.results[part]
            out.append({"part": part, "title": title, "sentence": words[part](result), "data": dict(result)})
        elif part in electrons.failures:
            sentence = f"Not computed: {electrons.failures[part]}."
            out.append({"part": part, "title": title, "sentence": sentence, "data": None})
    return out


def without_bader(command: str) -> dict[str, Any]:
    """The section in place of Bader charges where their program is not installed."""
    sentence = (
        f"Not computed: the program `{command}` is not installed (the setting `bader_command` names it); Löwdin "
        "charges stand with the density of states."
    )
    return {"part": "bader", "title": TITLES["bader"], "sentence": sentence, "data": None}


def gap_words(gap: Mapping[str, Any]) -> str:
    """The gap in words; PBE's gaps are too small, and the page says so where the number stands."""
    if gap["is_metal"]:
        return "a metal"
    return f"an insulator with a gap of {gap['value']:.2f} eV ({gap['kind']}; PBE's gaps are too small)"


def _bands(result: Mapping[str, Any]) -> str:
    return f"Along {result['path']} it is {gap_words(result['gap'])}."


def _states(result: Mapping[str, Any]) -> str:
    words = _charge_words(result)
    charges = f"; Löwdin charges: {words}" if words else "; no atom carries a charge worth the name"
    density = f", {result['at_fermi']:.2f} states per eV at the Fermi energy" if result["gap"]["is_metal"] else ""
    warning = f"; {result['warning']}" if result["warning"] else ""
    mesh = "x".join(map(str, result["kpoints"]))
    return f"On a mesh of {mesh} it is {gap_words(result['gap'])}{density}{charges}{warning}."


def _charge_words(result: Mapping[str, Any]) -> str:
    """The mean charge of each element that has one worth a word."""
    charged: dict[str, list[float]] = {}
    for atom in result["charges"]:
        charged.setdefault(atom["symbol"], []).append(atom["charge"])
    means = {symbol: sum(values) / len(values) for symbol, values in charged.items()}
    return ", ".join(f"{s} {q:+.2f}" for s, q in means.items() if abs(q) >= CHARGED)


def _bader(result: Mapping[str, Any]) -> str:
    words = _charge_words(result)
    return f"In Bader's basins of the valence density: {words or 'no atom carries a charge worth the name'}."


def _elf(result: Mapping[str, Any]) -> str:
    kinds = [m["kind"] for m in result["maxima"]]
    if n := kinds.count("interstitial"):
        highest = max(m["value"] for m in result["maxima"] if m["kind"] == "interstitial")
        return f"Electrons are localised off the nuclei at {n} places (ELF up to {highest:.2f}): a candidate electride."
    parts = [f"{kinds.count(k)} {name}" for k, name in (("bond", "bonds"), ("lone_pair", "lone pairs")) if k in kinds]
    return (
        f"Electrons are localised in {' and '.join(parts)}." if parts else "Electrons are localised around nuclei only."
    )
