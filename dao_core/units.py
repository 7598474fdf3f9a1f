"""Constants that several rooms share: conversions of units (CODATA 2018, as pw.x 6.7 uses), thresholds and limits."""

EV_PER_RY = 13.605693122994
BOHR = 0.529177210903  # angstrom
COULOMB = 2 * EV_PER_RY * BOHR  # e^2 / (4 pi epsilon_0) in eV angstrom
GPA_PER_EV_A3 = 160.2176634
KBAR_PER_GPA = 10.0
PRESSURES = (-50.0, 1000.0)  # GPa: no solid bears a stronger pull, no model was trained on a stronger push

# eV/atom above the hull
STABLE_BELOW = 0.08  # the paper's border between stable and unstable (method.md, section 5)
NEAR_HULL = 0.1  # a phase this close may matter: as a competitor, as an example, as a reference for a correction


def checked_pressure(value: float) -> float:
    """A pressure in GPa as it may be asked for. Raises ValueError where it is no number or beyond what solids bear."""
    if not PRESSURES[0] <= value <= PRESSURES[1]:
        raise ValueError(f"pressures are in GPa, between {PRESSURES[0]:g} and {PRESSURES[1]:g}")
    return value
