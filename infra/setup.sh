#!/usr/bin/env bash
# Makes the virtual environment and installs the tested packages (infra/constraints.txt): infra/setup.sh VENV EXTRAS, such
# as "all" or "dev". PYTHON names the interpreter: 3.11, 3.12 or 3.13; another one is refused, not replaced.
# Every reason to stop is one line that says what to do. Full log: VENV/setup.log.
set -euo pipefail
VENV=$1 EXTRAS=$2
NEEDED_GB=${DAO_NEEDED_GB:-6}
TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
CONSTRAINTS=infra/constraints.txt
TORCH=$(sed -n 's/^torch==//p' "$CONSTRAINTS")

stop() { echo "set-up: $*" >&2; exit 2; }

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    usable "$PYTHON" && command -v "$PYTHON"; return
  fi
  for candidate in python3.11 python3.12 python3.13 python3 python; do
    if usable "$candidate"; then command -v "$candidate"; return; fi
  done
  return 1
}

pip_install() { "$VENV/bin/python" -m pip install --disable-pip-version-check "$@" >>"$VENV/setup.log" 2>&1; }

# Without a CUDA device the CPU build is wanted: PyPI's Linux x86-64 wheel brings 3 GB of CUDA libraries. pip's own
# configuration (a mirror, --find-links) is asked first, then TORCH_INDEX; elsewhere PyPI's wheel is the CPU build.
install_torch() {
  if [ "$(uname -sm)" != "Linux x86_64" ] || nvidia-smi >/dev/null 2>&1; then
    pip_install "torch==$TORCH"; return
  fi
  pip_install "torch==$TORCH+cpu" ||
    pip_install --index-url "$TORCH_INDEX" "torch==$TORCH+cpu" ||
    { echo "set-up: no CPU build of torch from $TORCH_INDEX, taking the large default one"; pip_install "torch==$TORCH"; }
}

if [ ! -x "$VENV/bin/python" ]; then
  python=$(find_python) || { [ -z "${PYTHON:-}" ] || stop "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13 with venv: name another one"
    stop "no Python 3.11, 3.12 or 3.13 with venv found: install it (apt install python3.11-venv, brew install python@3.11) or set PYTHON=/path/to/python3"; }
elif [ -n "${PYTHON:-}" ] && [ "$(version "$PYTHON")" != "$(version "$VENV/bin/python")" ]; then
  stop "$VENV is Python $(version "$VENV/bin/python") and PYTHON=$PYTHON is not: remove $VENV, or set VENV=another/folder"
fi
mkdir -p "$VENV" 2>/dev/null || stop "cannot write $VENV: check the permissions of $PWD"
free_gb=$(df -Pk "$VENV" | awk 'NR == 2 {print int($4 / 1048576)}')
if [ ! -e "$VENV/.installed" ] && [ "$free_gb" -lt "$NEEDED_GB" ]; then
  stop "$free_gb GB free where $NEEDED_GB GB are needed: free space or set VENV=/a/larger/disk/venv"
fi
[ -x "$VENV/bin/python" ] || "$python" -m venv "$VENV" || stop "$python cannot make a virtual environment: install its venv package"

echo "set-up: installing into $VENV (about 3 minutes the first time; log: $VENV/setup.log)"
: >"$VENV/setup.log"
if ! { install_torch && pip_install -c "$CONSTRAINTS" -e ".[$EXTRAS]"; }; then
  if grep -q 'No space left' "$VENV/setup.log"; then stop "the disk is full: free space and run it again"; fi
  if grep -qE 'NewConnectionError|Temporary failure in name resolution|Max retries|Could not fetch URL|timed out|from versions: none' "$VENV/setup.log"; then
    stop "no network: the package index could not be reached (see $VENV/setup.log), connect and run it again"
  fi
  stop "pip failed: $(grep -m1 '^ERROR' "$VENV/setup.log" || tail -1 "$VENV/setup.log")"
fi
touch "$VENV/.installed"
