"""Conversions from Quantum ESPRESSO's atomic Rydberg units (CODATA 2018, as pw.x 6.7 uses)."""

EV_PER_RY = 13.605693122994
BOHR = 0.529177210903  # angstrom
GPA_PER_EV_A3 = 160.2176634
KBAR_PER_GPA = 10.0
