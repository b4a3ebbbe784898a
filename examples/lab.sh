#!/bin/sh
# A crash of a million positions, replayed under five policies, and a report to read.
#
#   sh examples/lab.sh DELEVERAGE OUT      DELEVERAGE: the command; OUT: a directory, made if need be
#
# ROWS is the size of the crash (1,000,000). It can be run again: what it wrote is replaced.
set -eu

if [ $# -ne 2 ]; then
    echo "lab.sh: expected the command and a directory, got $# words" >&2
    exit 2
fi
deleverage=$1
out=$2
rows=${ROWS:-1000000}
case $rows in
'' | *[!0-9]*)
    echo "lab.sh: ROWS: expected a whole number, got '$rows'" >&2
    exit 2
    ;;
esac
mkdir -p "$out"

# Ten moments of one crash; books shrink as it goes on, to nine tenths on average.
echo "1/3 a crash of $rows positions in ten snapshots"
"$deleverage" generate --output "$out/dump" --positions $((rows * 9 / 80)) --snapshots 10 \
    --seed 7 --overwrite >"$out/aggregates.txt"

echo "2/3 its bankruptcies under five policies, with an insurance pool"
if [ -f "$out/run/run.json" ]; then
    rm -r "$out/run"
fi
status=0
"$deleverage" replay "$out/dump" --output "$out/run" --venue bitmex --policy queue \
    --policy pro-rata --policy capped --policy min-max --policy leverage-draining \
    --pool $((rows * 3)) --start 0.3 --stop 0.6 --income $((rows * 12)) || status=$?
# 4 says that somebody could not be covered: a finding, no failure.
if [ "$status" -ne 0 ] && [ "$status" -ne 4 ]; then
    exit "$status"
fi

echo "3/3 a report on that replay, and one on a simulated crash, wave by wave"
"$deleverage" report "$out/run" --dump "$out/dump" --output "$out/report.html"
"$deleverage" report --output "$out/simulated.html" --venue bitmex --markets 3 \
    --policy queue --policy pro-rata --policy min-max --policy leverage-draining --policy factor-draining

echo "the replay:     $out/report.html ($out/run is its Parquet)"
echo "the simulation: $out/simulated.html"
