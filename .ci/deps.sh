#!/bin/sh
# What `make deps` does: names what this machine lacks for building and testing moontorch, and installs it with apt
# on Debian and Ubuntu. Does nothing when all is present.
set -eu

if [ "$(uname -s)" = Darwin ]; then
  echo "deps: on macOS run"
  echo "  brew install lua luarocks clang-format libpng jpeg-turbo && luarocks install busted && luarocks install luacheck"
  exit 0
fi

busted_loads() { lua5.4 -e 'require "busted.runner"' >/dev/null 2>&1; }
lacking() {
  command -v lua5.4 >/dev/null || echo lua5.4
  [ -f /usr/include/lua5.4/lua.h ] || [ -f /usr/local/include/lua.h ] || echo liblua5.4-dev
  command -v luarocks >/dev/null || echo luarocks
  busted_loads || echo lua-busted
  command -v luacheck >/dev/null || echo lua-check
  [ -f /usr/include/png.h ] || echo libpng-dev
  [ -f /usr/include/jpeglib.h ] || echo libjpeg-dev
  command -v gcc >/dev/null || echo gcc
  command -v g++ >/dev/null || echo g++
  [ -f /usr/include/stdio.h ] || echo libc6-dev
  command -v make >/dev/null || echo make
  command -v clang-format >/dev/null || echo clang-format
  command -v curl >/dev/null || echo curl ca-certificates
}

packages=$(lacking | tr '\n' ' ')
if [ -z "$packages" ]; then
  echo "deps: everything is here"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "deps: this machine lacks (Debian's names): $packages"
  echo "deps: no apt-get here; please install them with your package manager"
  exit 1
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "deps: installing with apt-get: $packages"
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages

# Some releases package busted for older Lua versions only.
if ! busted_loads; then
  echo "deps: the packaged busted does not load in Lua 5.4; installing it with luarocks"
  $sudo luarocks --lua-version 5.4 install busted
fi
echo "deps: done"
