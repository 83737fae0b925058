#!/usr/bin/env bash
# Shows a live mirror of a small tree and checks it. Usage: demo.sh path/to/syncline
set -euo pipefail
syncline=$(realpath "$1")
work=$(mktemp -d "${TMPDIR:-/tmp}/syncline-demo.XXXXXX")
src=source
mirror=mirror
watcher=
cd "$work"

finish() {
    if [ -n "$watcher" ]; then kill -9 "$watcher" 2>/dev/null || true; fi
    rm -rf "$work"
}
export STATE_DIRECTORY="$work/state"
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

fail() {
    printf '\nThe demo failed: %s\n' "$*" >&2
    exit 1
}

# arrives WHAT COMMAND...: waits until the command succeeds, and says so; half a minute is far more than it takes.
arrives() {
    local what=$1 tries=1500
    shift
    until "$@"; do
        kill -0 "$watcher" 2>/dev/null || fail "syncline watch ended by itself"
        [ $((tries -= 1)) -gt 0 ] || fail "not seen in the mirror: $what"
        sleep 0.02
    done
    printf '   in the mirror: %s\n' "$what"
}

gone() { [ ! -e "$1" ] && [ ! -L "$1" ]; }
same() { diff -r "$src" "$mirror" >/dev/null 2>&1; }

mkdir -p "$src/docs" "$src/pictures" "$mirror"
echo "Things to do" >"$src/docs/todo.txt"
echo "A long story" >"$src/docs/story.txt"
head -c 300000 /dev/urandom >"$src/pictures/holiday.raw"
ln -s docs/todo.txt "$src/now"

say "syncline watch source mirror"
exec 3> >(sed -u 's/^/   syncline: /')
printer=$!
# Job control, so that the watcher is interrupted as from a terminal: without it the shell makes it ignore Ctrl-C.
set -m
"$syncline" watch "$src" "$mirror" >&3 2>&1 3>&- &
watcher=$!
set +m
arrives "the whole tree" same

say "A file is edited"
echo "Buy milk" >>"$src/docs/todo.txt"
arrives "the new line" grep -qs milk "$mirror/docs/todo.txt"

say "A new directory with files"
mkdir -p "$src/music/new"
for number in 1 2 3; do echo "song $number" >"$src/music/new/$number.txt"; done
arrives "music/new with its three files" test -e "$mirror/music/new/1.txt" -a -e "$mirror/music/new/2.txt" -a -e "$mirror/music/new/3.txt"

say "A file is renamed"
mv "$src/docs/story.txt" "$src/docs/novel.txt"
arrives "the new name" test -e "$mirror/docs/novel.txt"
arrives "the old name gone" gone "$mirror/docs/story.txt"

say "A directory is renamed"
mv "$src/pictures" "$src/photos"
arrives "the new name with what is in it" test -s "$mirror/photos/holiday.raw"
arrives "the old name gone" gone "$mirror/pictures"

say "A file is deleted"
rm "$src/music/new/2.txt"
arrives "the file gone" gone "$mirror/music/new/2.txt"

say "Ctrl-C"
arrives "everything" same
kill -INT "$watcher"
status=0
wait "$watcher" || status=$?
watcher=
exec 3>&-
wait "$printer"
# 130 is how a shell reports a program that ends by the interrupt itself.
[ "$status" = 0 ] || [ "$status" = 20 ] || [ "$status" = 130 ] || fail "syncline watch ended with exit code $status"
diff -r "$src" "$mirror" || fail "source and mirror differ"
say "diff -r finds no difference. That was all."
