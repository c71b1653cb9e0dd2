# lib.sh: what the scripts share. Source it; it defines functions and a few variables, and does nothing else.
#
# PG_CONFIG chooses the Postgres; the servers never run as root: as_pg drops to `postgres`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/15/bin/pg_config}
python=/usr/bin/python3  # Debian's, for which its packages are made
packages_build="g++ make cmake ninja-build pkg-config postgresql-15 postgresql-server-dev-15 libpq-dev libssl-dev
  libuv1-dev libsodium-dev libprotobuf-c-dev protobuf-c-compiler libkrb5-dev libgtest-dev"
packages_test="python3 python3-cryptography python3-psycopg2 procps util-linux iproute2 valgrind"

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' yellow='' plain=''
fi

say() { printf '%s\n' "$*"; }
step() { printf '%s==>%s %s\n' "$bold" "$plain" "$*"; }
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
  exit 1
}

# Runs a command as the user that may run Postgres.
as_pg() {
  if [[ $EUID -eq 0 ]]; then
    (cd / && runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
  local p
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$p"
  done
}

# Installs the Debian packages that are named and not there; quiet, with one line of progress. Does nothing when all are.
install_packages() {
  local missing log
  missing=$(missing_packages "$@")
  [[ -n $missing ]] || return 0
  command -v apt-get >/dev/null || die "these Debian packages are missing: $missing"
  step "installing ${missing% }"
  log=$(mktemp)
  if ! { as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not install: $missing"
  fi
  rm -f "$log"
}

# Builds and installs the extension for $PG_CONFIG. Quiet unless it fails.
build_and_install() {
  local log
  log=$(mktemp)
  step "building the extension"
  if ! make -C "$root" PG_CONFIG="$PG_CONFIG" -j"$(nproc)" >"$log" 2>&1; then
    grep -E 'error|Error' "$log" | head -n 20 >&2 || true
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "the build failed"
  fi
  step "installing it"
  if ! as_root make -C "$root" PG_CONFIG="$PG_CONFIG" install >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "the installation failed"
  fi
  rm -f "$log"
}
