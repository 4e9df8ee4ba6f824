#!/bin/sh
# Fetches the libraries of the page from npm into static/lib, as static/lib/SOURCES lists them, and fails if a file differs from
# the one that was there. With -update it writes SOURCES anew.
#
# The files are those of the packages, with three changes that browsers need: bare module names become relative ones, the names
# of source maps, which are not served, are removed, and uPlot, a classic script, gets an export.
set -eu
cd "$(dirname "$0")/static/lib"

preact=11.2.0 htm=3.1.1 uplot=1.6.32

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# get NAME VERSION: unpacks a package into $work/NAME
get() {
	(cd "$work" && npm pack --silent "$1@$2" >/dev/null && mkdir "$1" && tar xzf "$1-$2.tgz" -C "$1" --strip-components 1)
}

# module FROM: prints a module as browsers load it
module() {
	sed -e 's|from *"preact"|from"./preact.js"|g' -e '/^\/\/# sourceMappingURL=/d' "$work/$1"
}

get preact $preact
get htm $htm
get uplot $uplot
module preact/dist/preact.mjs >"$work/preact.js"
module preact/hooks/dist/hooks.mjs >"$work/hooks.js"
module htm/dist/htm.mjs >"$work/htm.js"
{ module uplot/dist/uPlot.iife.min.js && echo 'export default uPlot;'; } >"$work/uplot.js"
cp "$work/uplot/dist/uPlot.min.css" "$work/uplot.css"
for p in preact htm uplot; do cp "$work/$p/LICENSE" "$work/LICENSE-$p"; done

{
	echo '# package version licence file sha256 of the file'
	list() { echo "$1 $2 $3 $4 $(sha256sum <"$work/$4" | cut -d' ' -f1)"; }
	for f in preact.js hooks.js LICENSE-preact; do list preact $preact MIT $f; done
	for f in htm.js LICENSE-htm; do list htm $htm Apache-2.0 $f; done
	for f in uplot.js uplot.css LICENSE-uplot; do list uplot $uplot MIT $f; done
} >"$work/SOURCES"

[ "${1-}" = -update ] && cp "$work/SOURCES" .
diff "$work/SOURCES" SOURCES || { echo 'npm has other files than those in SOURCES' >&2; exit 1; }
awk '!/^#/ { print $4 }' SOURCES | while read -r f; do
	[ ! -e "$f" ] || cmp "$work/$f" "$f" || { echo "node/web/static/lib/$f is not what npm has; remove it and run this again" >&2; exit 1; }
	cp "$work/$f" "$f"
done
