# Sourced by deploy/run and tests/run: one virtual environment with one editable install.

# Make .venv, if need be with Debian's package for it. $1: the extra to install, or nothing.
environment() {
  local python have extra=${1:-}
  python=$(command -v python3.11 || command -v python3 || true)
  if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2
    return 3
  fi
  if [ ! -x .venv/bin/python ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_packages python3-venv || return 3
  fi
  [ -x .venv/bin/python ] || "$python" -m venv .venv || return 3
  # An install with an extra serves as one without it, too.
  for have in "$extra" ${extra:-dev}; do
    [ ! -e ".venv/installed-$(fingerprint "$have")" ] || return 0
  done
  echo "installing into .venv" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".${extra:+[$extra]}" || return 3
  touch ".venv/installed-$(fingerprint "$extra")"
}

# What an install depends on. $1: the extra.
fingerprint() {
  { cat pyproject.toml constraints.txt; echo "$PWD $1"; } | sha256sum | cut -c1-16
}

# Install Debian packages as root; otherwise say how.
install_packages() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian packages: $*" >&2
    DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" >/dev/null
  else
    echo "missing Debian packages; as root: apt-get install $*" >&2
    return 1
  fi
}
