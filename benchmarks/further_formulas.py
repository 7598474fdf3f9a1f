"""The first answers for further formulas, by space group: of the ranking's numbers one was chosen on them.

That one is `R2SCAN_WEIGHT` (dao_core/screening/judged_energies.py).

python benchmarks/further_formulas.py --work DIR [--without] [--sample 60] [--record]
Inorganic compounds of many families with the space groups of their forms at ordinary conditions or below (standard
references; any of several measured forms counts). Each is searched as in ground_states.py, with the library as it is
and without a time budget; right is a first answer whose space group after relaxation, or the one in which the library
lists it, is among them. Finished searches are kept in DIR and ranked anew; `unmeasured` is their order when the prior
of known structures is taken without the number of measurements, `quarters` says how often the first candidate was right
by the probability that it had. With `--without` the library and the templates hold nothing of the formula that is
searched: what a user of a new compound gets. Prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from bars import show_bar
from leave_out import without_the_compound

from dao_core.evaluate.statistics import wilson
from dao_core.library.folder import Library, open_library
from dao_core.library.known import known_structures
from dao_core.library.prior import known_log_priors
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.load_models import load_search_models
from dao_core.screening.ranking import RankingRule, rank, with_probability
from dao_core.screening.search import search
from dao_core.screening.settings import JudgeSettings, SearchSettings, proposal_shares

# fmt: off
SPACE_GROUPS: dict[str, tuple[int, ...]] = {
    "LiBr": (225,), "KF": (225,), "CsF": (225,), "TlBr": (221,), "PbF2": (225, 62), "CoCl2": (166,), "FeCl2": (166,),
    "FeF2": (136,), "HgI2": (137,), "BiI3": (148,), "AlF3": (167,), "FeF3": (167,), "CrCl3": (148, 12),
    "LaF3": (165,), "LaCl3": (176,), "SnI4": (205,), "CaCl2": (58,), "SrI2": (61,), "BaCl2": (62,), "PbCl2": (62,),
    "PbBr2": (62,), "AgI": (186, 216), "CuBr": (216,), "CdO": (225,), "NiO": (225,), "CoO": (225,), "MnO": (225,),
    "FeO": (225,), "UO2": (225,), "VO2": (14, 136), "MoO2": (14,), "WO2": (14,), "CrO2": (136,), "NbO2": (88, 141),
    "Ti2O3": (167,), "Sc2O3": (206,), "Nd2O3": (164,), "B2O3": (152, 144, 154), "Sb2O3": (227, 56), "Mn3O4": (141,),
    "MnO2": (136,), "ReO3": (221,), "CrO3": (40,), "ZnFe2O4": (227,), "FeCr2O4": (227, 141, 74), "CoAl2O4": (227,),
    "LiTaO3": (161,), "LaMnO3": (62,), "LaFeO3": (62,), "YAlO3": (62,), "SrZrO3": (62,), "BiFeO3": (161,),
    "MgTiO3": (148,), "MnTiO3": (148,), "ZnWO4": (13,), "FeWO4": (13,), "SrMoO4": (88,), "LaPO4": (14,),
    "YPO4": (141,), "AlPO4": (152, 154), "BPO4": (82,), "Li3PO4": (31, 62), "KNO3": (62,), "CaMg(CO3)2": (148,),
    "SrCO3": (62,), "BaCO3": (62,), "MnCO3": (167,), "FeCO3": (167,), "Li2CO3": (15,), "K2SO4": (62,),
    "Na2SO4": (70,), "PbSO4": (62,), "KClO4": (62,), "CaMgSi2O6": (15,), "Zn2SiO4": (148,), "Fe2SiO4": (62,),
    "Mg(OH)2": (164, 147, 156), "Ca(OH)2": (164, 147, 156), "LiOH": (129,), "Al(OH)3": (14,), "Na2S": (225,),
    "MnS": (225,), "CuS": (194,), "NiS": (160,), "CoS2": (205,), "NiS2": (205,), "HgS": (152, 154), "As2S3": (14,),
    "Sb2S3": (62,), "Bi2S3": (62,), "SnS2": (164,), "GeS": (62,), "GeSe": (62,), "Ag2S": (14,), "FeAsS": (14,),
    "NiAsS": (198,), "CoAsS": (61, 29), "CuGaS2": (122,), "MnSe": (225,), "HgTe": (216,), "InSe": (194, 160),
    "GaSe": (194, 187, 160), "TlSe": (140,), "FeSe": (129,), "CrN": (225, 62), "Si3N4": (176, 159), "Ta3N5": (63,),
    "Be3N2": (206, 194), "Cu3N": (221,), "Ni3Ti": (194,), "Fe3Al": (225,), "CuAu": (123,), "FePt": (123,),
    "CaCu5": (191,), "Al2Cu": (140,), "Mg2Sn": (225,), "BaSi2": (62,), "TiSi2": (70,), "CrSi2": (180, 181),
    "FeSi2": (64,), "MnSi": (198,), "NiSi": (62,), "Ti5Si3": (193,), "V3Si": (223,), "CoAl": (221,), "TiB2": (191,),
    "Fe3C": (62,), "Al4C3": (166,), "CaC2": (139, 15), "Li3Bi": (225,), "LiAlH4": (14,), "MgH2": (136,),
    "LiH": (225,), "CaH2": (62,), "Ni2MnGa": (225,), "TiNiSn": (216,), "BiOCl": (129,), "FeOCl": (59,),
    # a second list, written when the first had been asked
    "Nb3Sn": (223,), "LaNi5": (191,), "SmCo5": (191,), "YBa2Cu3O7": (47,), "La2CuO4": (139, 64), "CsPbI3": (62,),
    "CsPbBr3": (62,), "MgB2": (191,), "Sb2Te3": (166,), "GeTe": (160,), "InSb": (216,), "ZnGeP2": (122,),
    "BaSO4": (62,), "PbTiO3": (99,), "KNbO3": (38, 160, 99), "Na3AlF6": (14,), "K2PtCl6": (225,), "K2NiF4": (139,),
    "Sr2RuO4": (139,), "ZrSiO4": (141,), "LiMn2O4": (227, 141, 70, 74), "WC": (187,), "BN": (194, 216, 187),
    "SiC": (186, 216, 160, 156), "Mo2C": (60, 194, 164), "Cr3C2": (62,), "CuZn": (221,), "NiTi": (11, 221),
    "Ti3Al": (194,), "TiAl": (123,), "TiAl3": (139,), "MgZn2": (194,), "CoSb3": (204,), "FeSb2": (58,),
    "ZnSb": (61,), "Mg3Sb2": (164,), "SnTe": (225,), "PtS": (131,), "PdS": (84,), "NbSe2": (194,), "WTe2": (31,),
    "ReS2": (2,), "Bi2Se3": (166,), "Ga2O3": (12,), "V2O5": (59,), "Ag2O": (224,), "PdO": (131,), "HgO": (62,),
    "TeO2": (92, 96, 61), "SeO2": (135,), "Bi2O3": (14,), "ThO2": (225,), "ZnAl2O4": (227,),
    "MgSiO3": (61, 14, 62, 60), "CaTiO3": (62,), "LaCoO3": (167,), "LaNiO3": (167,), "SrRuO3": (62,),
    "CaMnO3": (62,), "BiVO4": (15, 88), "PbWO4": (88,), "Mg3N2": (206,), "HgSe": (216,), "CuCl": (216,),
    "AgF": (225,), "NH4Cl": (221, 218, 215), "CO2": (205,), "NH3": (198,), "NaN3": (12, 166), "KOH": (4, 11),
    "NaOH": (63,), "NaNO3": (167, 161), "KClO3": (11,), "NaClO3": (198,), "NaBH4": (225, 137), "LiBH4": (62,),
    "Mg2NiH4": (15,), "TiH2": (225, 139), "B4C": (166,), "CaB6": (221,), "Mn2O3": (206, 61), "Rb2S": (225,),
    "Cs2O": (166,), "K2O2": (64,), "KO2": (139,), "BaO2": (139,), "SiS2": (72,), "P4S3": (62,),
    "GeO2": (152, 154, 136), "BeF2": (152, 154), "ZrCl4": (13,), "NbCl5": (12,), "TiCl3": (148, 162, 147),
    "MoCl3": (12,), "ZnCl2": (33, 122), "GaCl3": (12, 2), "InCl3": (12,), "SbF3": (40,), "UF4": (15,),
    "UCl4": (141,), "ScF3": (221, 167), "Ni3Sn": (194,), "Cu2Sb": (129,), "Mn3Sn": (194,), "CoSn": (191,),
    "PtBi2": (205, 164, 162, 147, 157, 143),
}
# fmt: on

SEED = 77  # of the sample


def place(candidates: list[Candidate], groups: tuple[int, ...], rule: RankingRule) -> int:
    """Place of the first candidate in one of the groups, 0 where there is none."""
    shown = [c for c in rank(with_probability(candidates, rule), rule) if not c.rejected]
    hits = [i for i, c in enumerate(shown, 1) if {c.spacegroup_after, c.library_spacegroup} & set(groups)]
    return min(hits, default=0)


def first_probability(candidates: list[Candidate], rule: RankingRule) -> float:
    """What the answer says of its first candidate, 0 where it has none."""
    return max((c.probability or 0.0 for c in with_probability(candidates, rule) if not c.rejected), default=0.0)


def calibration(said: dict[str, float], places: dict[str, int]) -> list[dict[str, Any]]:
    """Of the formulas in quarters of the first candidate's probability: what was said, and how many were right."""
    order = sorted(said, key=lambda formula: said[formula])
    parts = [[str(f) for f in part] for part in np.array_split(order, 4)]
    return [
        {"said": round(100 * float(np.mean([said[f] for f in part])), 1), "n": len(part),
         "right": round(100 * float(np.mean([places[f] == 1 for f in part])), 1)}
        for part in parts
    ]  # fmt: skip


def unmeasured(candidates: list[Candidate], formula: str, library: Library) -> list[Candidate]:
    """The candidates with the priors that known structures would have if nobody had measured them."""
    from dataclasses import replace

    known = known_structures(library, formula)
    without = known_log_priors([replace(k, n_measured=0) for k in known])
    change = {k.material_id: w - p for k, w, p in zip(known, without, known_log_priors(known), strict=True)}
    return [
        c if c.log_prior is None else c.replace(log_prior=c.log_prior + change.get(c.library_id or "", 0.0))
        for c in candidates
    ]


def summary(places: dict[str, int]) -> dict[str, Any]:
    """Shares at the first place and among three, with intervals, and what is not first."""
    counts = [sum(0 < p <= depth for p in places.values()) for depth in (1, 3)]
    n = len(places)
    return {
        "value": [round(100 * c / n, 1) for c in counts], "n_right": counts, "n": n,
        "interval": [[round(100 * x, 1) for x in wilson(n_hit=c, n=n)] for c in counts],
        "missed_first": [f"{f} ({p or 'not found'})" for f, p in places.items() if p != 1],
    }  # fmt: skip


def main() -> None:
    """Search, rank, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="finished searches are kept here")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--judged", type=int, default=6)
    parser.add_argument("--without", action="store_true", help="take every structure of the formula out of the library")
    parser.add_argument("--sample", type=int, default=len(SPACE_GROUPS), help="so many of the formulas, by chance")
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/bars.jsonl")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    models, library = load_search_models(), open_library()
    if library is None:
        parser.error("no library: run `dao library install`")
    if args.without:
        models = without_the_compound(models)
    settings = SearchSettings(**proposal_shares(args.n), judge=JudgeSettings(n_judged=args.judged))
    rule = RankingRule(names=models.names)
    found, plain, said = {}, {}, {}
    by_chance = np.random.default_rng(SEED).permutation(sorted(SPACE_GROUPS))[: args.sample]
    for formula, groups in ((str(f), SPACE_GROUPS[str(f)]) for f in by_chance):
        path = args.work / f"{formula}.parquet"
        if not path.exists():
            save_candidates(search([formula], models, settings).candidates, path)
        candidates = load_candidates(path)
        found[formula] = place(candidates, groups, rule)
        said[formula] = first_probability(candidates, rule)
        plain[formula] = place(unmeasured(candidates, formula, library), groups, rule)
        print(json.dumps({"formula": formula, "place": found[formula], "unmeasured": plain[formula]}), flush=True)
    side, option = ("without the formula's own entries", " --without") if args.without else ("as it is", "")
    line = {
        "issue": "first-answer", "row": "further formulas",
        "what": f"further formulas with a measured form among the first 1 / 3, by space group, library {side}, %",
        "bar": "none: a check on formulas that nothing was chosen on but the weights of r2SCAN and of the prior",
        "met": None, "seed": SEED, **summary(found),
        "unmeasured": None if args.without else summary(plain), "quarters": calibration(said, found),
        "command": f"python benchmarks/further_formulas.py --work DIR{option} --sample {args.sample} --record",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
