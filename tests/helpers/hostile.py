"""Candidates whose every text carries markup: nothing of it may run, and all of it must come back as it was."""

from __future__ import annotations

from dataclasses import fields

from dao_core.screening.candidate import Candidate
from tests.helpers.candidates import candidate, cesium_chloride, rocksalt

MARKUP = "<img src=x onerror='window.planted=1'><b class='planted'>&amp;</b></script><script>planted=2</script>"
NOT_TEXT = {"formula", "crystal", "provenance", "cost", "extras", "merged_ids"}


def hostile_candidates() -> list[Candidate]:
    """Three candidates with markup in every field that is a text, and in every key and value of their mappings."""
    plain = candidate("x", rocksalt(), -3.0, spacegroup_after=225)
    texts = {f.name: MARKUP for f in fields(Candidate) if str(f.type).startswith("str") and f.name not in NOT_TEXT}
    keep = {"id": "a", "relaxation_status": "converged"}
    facts = {"provenance": {MARKUP: MARKUP, "n_steps": MARKUP, "seed": MARKUP, "fmax": MARKUP, "template_id": MARKUP,
                            "start": MARKUP, "parent": MARKUP, "model": MARKUP},
             "extras": {"phonons": {"stable": None, "n_imaginary": MARKUP, "supercell": [MARKUP], "followed_to": MARKUP,
                                    "potential": MARKUP}},
             "cost": {MARKUP: 1.0, "x_s": 2.0}, "merged_ids": (MARKUP,), "first_energy_per_atom": -2.0,
             "library_e_above_hull": 0.01}  # fmt: skip
    first = plain.replace(**{**texts, **keep, **facts})
    known = first.replace(id=MARKUP, novelty="match", crystal=cesium_chloride(), energy_per_atom=-2.9)
    odd = first.replace(id="c", relaxation_status=MARKUP, novelty=None)
    return [first, known, odd]
