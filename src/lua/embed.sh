#!/bin/sh
# Writes C on stdout: every module under the folder $1 (moontorch/init.lua is the module "moontorch") as an array of
# bytes, and the table embedded_modules[] that src/lua/static.c registers. Needs only a POSIX shell, od and sed.
set -eu
cd "$1"
echo '#include <stddef.h>'
echo 'typedef struct { const char *name, *chunk; const unsigned char *data; size_t size; } EmbeddedModule;'
table=
n=0
for file in $(find . -name '*.lua' | sed 's|^\./||' | LC_ALL=C sort); do
  name=$(echo "$file" | sed 's|\.lua$||; s|/init$||; s|/|.|g')
  echo "static const unsigned char data_${n}[] = {"
  od -An -v -tu1 "$file" | sed 's/[0-9][0-9]*/&,/g'
  echo '0};'
  table="$table  {\"$name\", \"@$file\", data_$n, sizeof data_$n - 1},
"
  n=$((n + 1))
done
echo 'extern const EmbeddedModule embedded_modules[];'
echo 'const EmbeddedModule embedded_modules[] = {'
printf '%s' "$table"
echo '  {NULL, NULL, NULL, 0}};'
