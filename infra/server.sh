#!/usr/bin/env bash
# A Prefect server with a process worker: infra/server.sh .venv/bin. Ctrl-C ends both.
# DAO_DATABASE_URL=postgresql+asyncpg://user:password@host/prefect puts it on PostgreSQL (recommended for more than one
# user or worker: SQLite locks under load); DAO_PORT is the port, DAO_QUEUES the queues this machine takes; DAO_CHAIN=1
# lets a published database start the pretraining and a finished screening the validation; DAO_CRYSDB is a file with the
# settings of the database that is rebuilt and updated on schedule (without it they stay what the server has).
set -euo pipefail
BIN=$1 PORT=${DAO_PORT:-4200} HOST=${DAO_HOST:-127.0.0.1}
export DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false
export PREFECT_SERVER_DATABASE_TIMEOUT=60 PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT=60
export PREFECT_API_URL=http://$HOST:$PORT/api DAO_HOME=${DAO_HOME:-$PWD}
[ -z "${DAO_DATABASE_URL:-}" ] || export PREFECT_API_DATABASE_CONNECTION_URL=$DAO_DATABASE_URL

"$BIN/prefect" server start --host "$HOST" --port "$PORT" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  kill -0 "$server" 2>/dev/null || { echo "server: it ended at once; is port $PORT taken? (DAO_PORT=4300 make server)" >&2; exit 2; }
  "$BIN/python" -c "import sys, urllib.request as u; u.urlopen('$PREFECT_API_URL/health', timeout=2)" 2>/dev/null && break
  sleep 1
done
"$BIN/dao" deploy ${DAO_CHAIN:+--chain} ${DAO_CRYSDB:+--crysdb "$DAO_CRYSDB"}
echo "server: http://$HOST:$PORT (dashboard), PREFECT_API_URL=$PREFECT_API_URL"
queues=(); for queue in ${DAO_QUEUES:-default gpu dft}; do queues+=(--work-queue "$queue"); done
"$BIN/prefect" worker start --pool dao --type process "${queues[@]}"
