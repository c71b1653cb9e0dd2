#!/bin/bash
# server.sh start|stop|psql DIR PORT PG_CONFIG: one server with the probe loaded, for run.sh. Not as root.
set -eu
command=$1 dir=$2 port=$3 bin=$("$4" --bindir)
here=$(cd "$(dirname "$0")" && pwd)
case $command in
  start)
    if [ ! -d "$dir/data" ]; then
      mkdir -p "$dir"
      "$bin/initdb" -D "$dir/data" -A trust -U postgres --no-sync >/dev/null
      cat >>"$dir/data/postgresql.conf" <<CONF
shared_preload_libraries = 'dadbs_probe'
wal_level = logical
port = $port
listen_addresses = ''
unix_socket_directories = '$dir'
max_connections = 60
max_worker_processes = 16
log_line_prefix = '%m [%p] %b '
CONF
    fi
    "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null
    p="$bin/psql -X -q -h $dir -p $port -U postgres -v ON_ERROR_STOP=1"
    if ! $p -Atc "SELECT 1 FROM pg_proc WHERE proname = 'probe_start'" | grep -q 1; then
      sed -e '/^\\echo/d' "$here"/../../../sql/parts/00_schema.sql "$here"/../../../sql/parts/20_history.sql | $p
      $p -f "$here/probe.sql"
    fi
    $p -c 'DELETE FROM dadbs_internal.transaction'  # positions start anew
    $p -c 'SELECT dadbs.probe_start()' >/dev/null
    for _ in $(seq 100); do
      [ "$($p -Atc 'SELECT dadbs.probe_ready()')" = t ] && exit 0
      sleep 0.1
    done
    echo "the probe does not get ready" >&2
    exit 1 ;;
  stop) "$bin/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null ;;
  psql) shift 4; exec "$bin/psql" -X -q -h "$dir" -p "$port" -U postgres "$@" ;;
esac
