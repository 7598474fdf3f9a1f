#!/usr/bin/env bash
# Install Quantum ESPRESSO (pw.x) from Debian or Ubuntu, and the pseudopotentials for the user. Safe to repeat.
# Usage: infra/install_qe.sh [--no-pseudopotentials]
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)"

if ! command -v pw.x >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "no apt-get here: install Quantum ESPRESSO 6.7 or newer so that 'pw.x' is on the PATH (conda-forge has 'qe')" >&2
    exit 1
  fi
  sudo=""
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "run as root, or install sudo: apt-get needs it" >&2; exit 1; }
    sudo="sudo"
  fi
  $sudo apt-get update -qq
  # OpenBLAS in place of the reference BLAS that would come along; serial: one thread a rank
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    quantum-espresso libopenblas0-serial
fi
command -v pw.x >/dev/null || { echo "pw.x is still not on the PATH" >&2; exit 1; }
echo "pw.x: $(command -v pw.x)"

if [ "${1:-}" != "--no-pseudopotentials" ]; then
  python="$here/.venv/bin/python"
  [ -x "$python" ] || python="$(command -v python3)"
  "$python" - <<'PY'
from dao_core.dft.pseudo.install import install_pseudodojo

library = install_pseudodojo()
print(f"pseudopotentials: {library.label}, {len(library.table)} elements, in {library.folder}")
PY
fi
