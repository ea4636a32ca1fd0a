#!/usr/bin/env bash
# The instructions that the request path takes, against those of the committed baseline.
#
# Each part of tests/instructions is run twice under callgrind, with different amounts of the same
# work: the difference is the work alone. Counts do not depend on the machine's speed or load, but on
# the compiler: with another one than the baseline's the tolerance is wider. Libraries choose their
# code by what the processor can do, and valgrind shows the same processor on every x86-64 that has
# AVX2; others are skipped. What remains is the C library's own code, a small part.
#
#   tests/lanes/callgrind.sh [--update] [--skip-ok]
#
# --update    write the baseline instead: tests/lanes/callgrind.baseline
# --skip-ok   succeed where valgrind is missing and cannot be installed
#
# Needs cargo and valgrind, which it installs where it may.
set -euo pipefail

LANE=callgrind
source "$(dirname "$0")/lib.sh"

BASELINE=$REPO/tests/lanes/callgrind.baseline
# Thousandths by which a count may rise with the baseline's compiler, and with another.
SAME_COMPILER=30
OTHER_COMPILER=150
FEW=20
MANY=120

MODE=check
while [ $# -gt 0 ]; do
    case $1 in
    --update) MODE=update ;;
    --skip-ok) SKIP_OK=yes ;;
    *) echo "$LANE: $1 is not an option; see the head of $0" >&2 && exit 2 ;;
    esac
    shift
done

if [ "$(uname -m)" != x86_64 ] || ! grep -qwm1 avx2 /proc/cpuinfo; then
    SKIP_OK=yes
    skip "no x86-64 with AVX2: other code would be counted"
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
install_missing valgrind:valgrind

if ! (cd "$REPO" && cargo bench --locked --no-run -p floodmark-tests --bench instructions) \
    >"$WORK/build.log" 2>&1; then
    cat "$WORK/build.log" >&2
    exit 1
fi
PROGRAM=$REPO/$(sed -n 's/^ *Executable .*(\(.*\))$/\1/p' "$WORK/build.log")

# instructions PART TIMES
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$PROGRAM" "$1" "$2" \
        2>"$WORK/valgrind.log" || { cat "$WORK/valgrind.log" >&2 && return 1; }
    sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p' "$WORK/valgrind.log"
}

# counted PART: instructions of the part once.
counted() {
    local few many
    few=$(instructions "$1" "$FEW")
    many=$(instructions "$1" "$MANY")
    echo $(((many - few) / (MANY - FEW)))
}

COMPILER=$(cd "$REPO" && rustc --version)
PARTS=(stream coalesced whole compose record merge)

if [ "$MODE" = update ]; then
    {
        echo "# Instructions of each part of tests/instructions, once. tests/lanes/callgrind.sh --update"
        echo "# $COMPILER"
        for part in "${PARTS[@]}"; do echo "$part $(counted "$part")"; done
    } >"$WORK/baseline"
    mv "$WORK/baseline" "$BASELINE"
    cat "$BASELINE"
    exit
fi

TOLERANCE=$SAME_COMPILER
if ! grep -qxF "# $COMPILER" "$BASELINE"; then
    TOLERANCE=$OTHER_COMPILER
    echo "note: the baseline is of another compiler, so a count may rise by $((TOLERANCE / 10)) %"
fi
for part in "${PARTS[@]}"; do
    known=$(sed -n "s/^$part //p" "$BASELINE")
    if [ -z "$known" ]; then
        fail "$part: not in the baseline; write it with $0 --update"
        continue
    fi
    now=$(counted "$part")
    change=$(((now - known) * 1000 / known))
    said="$part: $now instructions, the baseline has $known ($change per mille more)"
    if [ "$change" -gt "$TOLERANCE" ]; then
        fail "$said; if that is right, write a new baseline with $0 --update"
    else
        pass "$said"
        if [ "$change" -lt "-$TOLERANCE" ]; then
            echo "note: keep the gain with $0 --update"
        fi
    fi
done
finish
