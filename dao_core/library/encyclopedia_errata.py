"""Entries of the AFLOW encyclopedia that are no measured structure of the formula that they give.

The encyclopedia collects structure types, so that an entry may stand for a mixture, a prediction or a structure that
later work has replaced. Such an entry is a good template and a wrong answer to the question what a compound looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_REPLACED = "the encyclopedia calls it obsolete or problematic"
_NOT_MEASURED = "not a measured structure"
_TITLES = {
    r"obsolete|problematic|^original ": _REPLACED,
    r"\bSQS\b": "a random alloy in a small cell",
    r"hypothetical|theoretical|predicted|proposed|possible|^model of": _NOT_MEASURED,
}
_COMMENTS = {
    r"this structure was found (by|via) first.principles": _NOT_MEASURED,
    r"this is a (theoretical|hypothetical|predicted)": _NOT_MEASURED,
    r"has not been experimentally confirmed": _NOT_MEASURED,
}
_MIXED = "another compound by its own title or comments: sites are shared with elements that the formula lacks"
_PARTIAL = "another compound by its own comments: sites are partly empty"
_MISPRINT = "the formula has another element than the title"
_CELL = "the lengths of the cell are misprinted"
_LACKS_HYDROGEN = "the formula lacks the hydrogen of the compound"
# Read by hand from the titles and comments of the release that is pinned, where more than about a tenth of a site is
# another element or empty. What is only disordered over its sites, at the composition that it is named for, stays.
_BY_LABEL = {
    "A2B2C5_oC36_39_d_d_c2d-001": _MIXED,  # Li2(Si,Ge)2O5 as Li2Ge2O5
    "A2B3C4D_oP40_62_d_cd_2cd_c-001": _MIXED,  # norbergite, (F,OH)
    "A2BCD12E3_mC76_15_f_e_a_6f_ef-001": _MIXED,  # alluaudite
    "A3B2C9_oF56_69_ag_g_bfgl-001": _MIXED,  # Bi3NbTiO9 as Bi3Nb2O9
    "A3BC_mC10_8_ab_a_a-001": _MIXED,  # Pb(Zr,Ti)O3 as PbZrO3
    "A3BC_tP5_99_ac_b_a-002": _MIXED,  # the same
    "A4B4C4DE2_tP30_136_i_j_i_a_f-001": _MIXED,  # the sigma phase of CrFe, other elements to tell its sites apart
    "A6BC_hP16_163_i_b_c-001": _MIXED,  # NaSbF4(OH)2 as NaSbF6
    "A7B2C2_mC22_12_aij_h_i-001": _MIXED,  # thortveitite, (Sc,Y)
    "ABCD_oP16_18_c_c_c_c-001": _MIXED,  # capgaronnite, (Cl,Br,I)
    "AB32C48_cI162_204_a_2efg_2gh-001": _MIXED,  # Bergman's Mg32(Al,Zn)49
    "A5B2C8D2_mP68_4_10a_4a_16a_4a-001": _PARTIAL,  # KH2PO4 with both places of a hydrogen
    "A13B4_mC102_8_17a11b_8a2b-001": _PARTIAL,  # Al13Co4
    "A17B3_cF160_227_aeg_bc-001": _PARTIAL,  # Na24-xGe136
    "A2BC2DE7_tP13_123_g_b_h_c_ahi-001": _PARTIAL,  # HgBa2CaCu2O6+x with all oxygen of x = 1
    "A2BC3_hP12_194_f_a_h-001": _PARTIAL,  # BaPt3B2, 2/3 of the barium
    "AB2_tP6_129_c_ac-003": _PARTIAL,  # LaSe1.85
    "AB_hP16_186_ac_bc-002": _PARTIAL,  # Nb1-xS
    "A_mP64_14_16e-002": _PARTIAL,  # beta sulphur, both orientations of a ring at once
    "A2BC2D8E2_tI30_139_e_a_e_2eg_e-001": _MISPRINT,  # Bi2Sr2CaCu2O8 with Ba for Bi
    "A3B4_hR7_166_ac_2c-001": _MISPRINT,  # In3Se4 with Te
    "A4B7_tP44_116_ach2i_e3j-001": _MISPRINT,  # Mn4Ge7 with Si
    "AB2C3_cP24_212_a_c_d-001": _MISPRINT,  # Li2Pd3B with Pt
    "AB3C9D_hP28_143_2a_2d_6d_bc-001": _MISPRINT,  # La3BWO9 with Li
    "AB4C_oC24_63_c_fg_c-001": _MISPRINT,  # anhydrite, CaSO4, with Si
    "ABC4_tP12_125_a_b_m-001": _MISPRINT,  # KCeSe4 with Cd
    "A10B2C_hP39_171_5c_c_a-001": _LACKS_HYDROGEN,  # SrS2O6 with four H2O
    "A10B2C_hP39_172_5c_c_a-001": _LACKS_HYDROGEN,  # the same
    "A13BC18D20E5_cF228_216_ah_c_gh_2eh_be-001": _LACKS_HYDROGEN,  # zunyite
    "A2B3C3DE7_hP48_145_2a_3a_3a_a_7a-001": _LACKS_HYDROGEN,  # sheldrickite
    "A4B14C3_hP21_143_ad_bc4d_d-001": _LACKS_HYDROGEN,  # simpsonite
    "A7BC_oC36_38_3d2f_d_d-001": _LACKS_HYDROGEN,  # weeksite
    "A10B3_oF52_42_2abce_ab-001": _LACKS_HYDROGEN,  # three WO3 with one H2O
    "AB_mP24_14_3e_3e-001": _LACKS_HYDROGEN,  # C6H6Cl6 as CCl
    "A10B3C4_oC68_64_2dfg_ad_2d-001": _CELL,  # Sr4Ru3O10 with Ru-O of 1.4 angstrom
    "AB_cF32_227_c_d-001": _REPLACED,  # cubic CuPt
}


def not_its_formula(entry: Mapping[str, Any]) -> str | None:
    """Why an entry is no measured structure of its formula; None where nothing says so.

    Args:
        entry: `label`, `title` and `comments` as in kim-tools.
    """
    label = str(entry["label"])
    if label in _BY_LABEL:
        return _BY_LABEL[label]
    for patterns, text in ((_TITLES, entry.get("title")), (_COMMENTS, entry.get("comments"))):
        for pattern, reason in patterns.items():
            if re.search(pattern, text or "", re.IGNORECASE):
                return reason
    return None
