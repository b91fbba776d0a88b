# shellcheck shell=bash
# What a build needs: a C compiler, make and the Rust toolchain. Sourced by ./start, ./test and .ci/run.
# Installs what is missing; asks before it uses sudo; never waits for an answer without a terminal.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Runs a command as root: at once where we are root, else by sudo once the user has agreed.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
    return
  fi
  if ! command -v sudo >/dev/null || [ ! -t 0 ]; then
    fail "please run this as root, then start again: ${*@Q}"
  fi
  local answer
  read -r -p "Run sudo ${*@Q}? [y/N] " answer
  case "$answer" in
    y | Y | yes) sudo "$@" ;;
    *) fail "please run it yourself, then start again: sudo ${*@Q}" ;;
  esac
}

need_c_compiler() {
  if command -v make >/dev/null &&
    { command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null; }; then
    return
  fi
  say "A C compiler or make is missing."
  if command -v apt-get >/dev/null; then
    as_root sh -c 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y build-essential'
  elif command -v dnf >/dev/null; then
    as_root dnf install -y gcc glibc-devel make
  elif command -v pacman >/dev/null; then
    as_root pacman -S --noconfirm --needed gcc make
  elif command -v zypper >/dev/null; then
    as_root zypper --non-interactive install gcc glibc-devel make
  elif command -v apk >/dev/null; then
    as_root apk add build-base
  elif command -v xcode-select >/dev/null; then
    fail "please run 'xcode-select --install', then start again"
  else
    fail "please install gcc or clang, and make, then start again"
  fi
}

# The oldest Rust that builds this, from Cargo.toml.
rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml; }

rust_is_new_enough() {
  local have
  have=$(rustc --version 2>/dev/null | sed 's/^rustc \([0-9.]*\).*/\1/')
  [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$(rust_wanted)" "$have" | sort -V | head -n 1)" = "$(rust_wanted)" ]
}

need_rust() {
  if [ -d "$HOME/.cargo/bin" ]; then PATH="$HOME/.cargo/bin:$PATH"; fi
  if command -v cargo >/dev/null && rust_is_new_enough; then
    return
  fi
  local hint
  hint="please install Rust $(rust_wanted) or newer (see https://rustup.rs), then start again"
  if command -v rustup >/dev/null; then
    say "Rust is missing or older than $(rust_wanted): updating it with rustup."
    rustup toolchain install stable --profile minimal --component clippy --component rustfmt ||
      fail "$hint"
    export RUSTUP_TOOLCHAIN=stable
  elif command -v curl >/dev/null; then
    say "Rust is missing: installing it for this user with rustup."
    curl --proto '=https' --tlsv1.2 --silent --show-error --fail --connect-timeout 20 \
      https://sh.rustup.rs | sh -s -- -y --profile minimal --component clippy,rustfmt ||
      fail "$hint"
    PATH="$HOME/.cargo/bin:$PATH"
  else
    fail "$hint"
  fi
  rust_is_new_enough || fail "$hint"
}

set_up() {
  need_c_compiler
  need_rust
}
