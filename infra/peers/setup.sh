#!/usr/bin/env bash
# Makes the environment of the test peers: infra/peers/setup.sh [VENV], default DAO_PEERS_VENV or .venv-peers.
# Safe to repeat; needs Python 3.11, about 1 GB and the package index. `pytest -m peers` then runs against it.
set -euo pipefail
cd "$(dirname "$0")/../.."
VENV=${1:-${DAO_PEERS_VENV:-.venv-peers}}
LIST=infra/peers/requirements.txt
STAMP=$VENV/.installed-peers

if [ -f "$STAMP" ] && cmp -s "$LIST" "$STAMP"; then
  echo "peers: $VENV is ready"; exit 0
fi
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
[ -n "$PYTHON" ] || { echo "peers: no Python found: install Python 3.11 or set PYTHON=/path/to/python3.11" >&2; exit 2; }
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV" || { echo "peers: $PYTHON cannot make a virtual environment" >&2; exit 2; }
echo "peers: installing emmet-api and the OPTIMADE reference server into $VENV (about 2 minutes; log: $VENV/setup.log)"
if ! "$VENV/bin/python" -m pip install --disable-pip-version-check -r "$LIST" >"$VENV/setup.log" 2>&1; then
  echo "peers: pip failed: $(grep -m1 '^ERROR' "$VENV/setup.log" || tail -1 "$VENV/setup.log")" >&2; exit 2
fi
cp "$LIST" "$STAMP"
