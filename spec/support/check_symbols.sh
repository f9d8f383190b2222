#!/bin/sh
# Proves what the module $1 shows to its host and takes from it: exports luaopen_* and mt_* only, does not link liblua, stays
# loaded (NODELETE), is under 2.5 MB stripped, and calls nothing that prints, ends the process or installs handlers.
set -eu
module=$1
bad=0
complain() { echo "check_symbols: $*"; bad=1; }

exported=$(nm -D --defined-only "$module" | awk '{print $3}' | grep -Ev '^(luaopen|mt)_' || true)
# shellcheck disable=SC2086
[ -z "$exported" ] || complain "exports more than luaopen_* and mt_*:" $exported
nm -D --defined-only "$module" | grep -q ' luaopen_moontorch_core$' || complain "luaopen_moontorch_core is not exported"
! readelf -d "$module" | grep NEEDED | grep -qi lua || complain "links liblua"
readelf -d "$module" | grep -q NODELETE || complain "is not linked with -z nodelete"

# What comes neither from a library (those symbols carry a version) nor from the host's Lua is missing.
missing=$(nm -D --undefined-only "$module" | awk '$1 == "U" {print $2}' | grep -Ev '@|^luaL?_' || true)
# shellcheck disable=SC2086
[ -z "$missing" ] || complain "refers to what nothing defines:" $missing

size=$(mktemp)
strip -o "$size" "$module"
bytes=$(wc -c <"$size")
rm -f "$size"
[ "$bytes" -lt 2621440 ] || complain "$bytes bytes stripped, more than 2.5 MB"

forbidden='exit|_exit|_Exit|quick_exit|abort|__assert_fail|signal|sigaction|raise|kill|system|atexit|puts|putchar|perror'
forbidden="$forbidden|printf|vprintf|fprintf|vfprintf|__printf_chk|__vprintf_chk|__fprintf_chk|stdout|stderr|longjmp|setenv"
called=$(nm -D --undefined-only "$module" | awk '{print $2}' | sed 's/@.*//' | grep -Ex "$forbidden" || true)
# shellcheck disable=SC2086
[ -z "$called" ] || complain "calls what a library must not:" $called

[ "$bad" = 0 ] && echo "symbols: luaopen_* and mt_* only, no liblua, NODELETE, $bytes bytes stripped"
exit $bad
