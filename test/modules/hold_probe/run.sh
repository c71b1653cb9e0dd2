#!/bin/bash
# run.sh DIR PORT PG_CONFIG: builds the probe, starts one server with it and checks what capture hands over and how held
# sessions end. As root (the server runs as postgres) or as the server's user.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 port=$2 pg_config=$3
as=()
[ "$(id -u)" = 0 ] && as=(runuser -u postgres --)
psql="$("$pg_config" --bindir)/psql -X -q -At -h $dir -p $port -U postgres"
passed=0 failed=0

check() {  # NAME EXPECTED ACTUAL
  if [ "$2" == "$3" ]; then passed=$((passed + 1)); return; fi
  failed=$((failed + 1))
  printf 'not ok: %s\n  expected: %s\n  actual:   %s\n' "$1" "$(head -8 <<<"$2")" "$(head -8 <<<"$3")"
}
sql() { $psql "$@" 2>&1; }
state() { sql -v VERBOSITY=sqlstate -c "$1"; }
last() { sql -c 'SELECT probe_last()' | tail -n +2; }
header() { sql -c 'SELECT probe_last()' | head -1; }
mode() { sql -c "SELECT probe_mode($1)" >/dev/null; }
turn=0 refuse=1 replay=2 replay_refuse=3 hold=4 doom=5

# Runs SQL in the background; its output goes to $dir/out.N, its last line is the server process.
background() {  # N SQL
  (PGAPPNAME=bg$1 $psql -v VERBOSITY=sqlstate -c "$2" >"$dir/out.$1" 2>&1) &
  eval "bg_$1=$!"
}
pid_of() { sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'bg$1'"; }
await() { for _ in $(seq 100); do [ "$(sql -c "$1")" = t ] && return 0; sleep 0.05; done; echo "never true: $1"; return 1; }
await_held() { await "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bg$1' AND wait_event = 'Extension'"; }
finish() { eval "wait \$bg_$1"; out=$(cat "$dir/out.$1"); }

chown -R "$( [ "$(id -u)" = 0 ] && echo postgres || id -un)" "$dir" 2>/dev/null
"${as[@]}" "$here/server.sh" start "$dir" "$port" "$pg_config" || exit 1
for part in "$here"/t_*.sh; do
  echo "# $(basename "$part")"
  mode 0
  sql -c 'DROP SCHEMA public CASCADE' >/dev/null
  sql -c 'CREATE SCHEMA public' >/dev/null
  . "$part"
done
check 'no crash, no PANIC' '' "$(grep -E 'PANIC|TRAP|terminated by signal|leak' "$dir/log")"
"${as[@]}" "$here/server.sh" stop "$dir" "$port" "$pg_config"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
