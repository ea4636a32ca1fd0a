# Sourced by the lanes: counting checks, skipping, and hosts made of network namespaces.
#
# A lane sets LANE to its name, parses its own options into BIN and SKIP_OK, and calls `begin`. The
# hosts and the bridge between them live in namespaces of their own, named after this process:
# nothing is added to the network of the machine, and lanes may run side by side.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$REPO/target/release
SKIP_OK=no
NS=fm$$
PASSED=0
FAILED=0
PIDS=()
HOSTS=()

pass() {
    PASSED=$((PASSED + 1))
    echo "PASS $*"
}

fail() {
    FAILED=$((FAILED + 1))
    echo "FAIL $*"
}

# check NAME COMMAND...: passes if the command succeeds.
check() {
    local name=$1
    shift
    if "$@"; then pass "$name"; else fail "$name: not so: $*"; fi
}

# same NAME WANTED GOT
same() {
    if [ "$2" = "$3" ]; then pass "$1 ($3)"; else fail "$1: wanted $2, got $3"; fi
}

# within NAME LIMIT_MS GOT_MS
within() {
    if [ "$3" -le "$2" ]; then pass "$1 ($3 ms)"; else fail "$1: $3 ms, limit $2 ms"; fi
}

# said NAME TEXT FILE: the file says it, whatever the line.
said() {
    if grep -qF -- "$2" "$3"; then
        pass "$1: $(grep -hF -m1 -- "$2" "$3")"
    else
        fail "$1: no \"$2\" in: $(tr '\n' ' ' <"$3")"
    fi
}

skip() {
    echo "skipped: $LANE: $*"
    if [ "$SKIP_OK" = yes ]; then exit 0; fi
    echo "$LANE: without --skip-ok this is a failure" >&2
    exit 1
}

now_ms() {
    local seconds=$EPOCHREALTIME
    echo $((${seconds/./} / 1000))
}

# until_true LIMIT_MS COMMAND...: tries until it succeeds or the time is over.
until_true() {
    local end=$(($(now_ms) + $1))
    shift
    until "$@"; do
        if [ "$(now_ms)" -ge "$end" ]; then return 1; fi
        sleep 0.1
    done
}

# quota_begins PROCESS PERCENT: so much of a core for a process, in slices of 100 ms, by the cgroups
# of either version; fails where there are none.
quota_begins() {
    local us=$(($2 * 1000))
    if [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
        QUOTA=/sys/fs/cgroup/cpu/$NS
        QUOTA_HOME=/sys/fs/cgroup/cpu
        mkdir "$QUOTA" && echo 100000 >"$QUOTA/cpu.cfs_period_us" &&
            echo "$us" >"$QUOTA/cpu.cfs_quota_us"
    elif grep -qw cpu /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
        QUOTA=/sys/fs/cgroup/$NS
        QUOTA_HOME=/sys/fs/cgroup
        mkdir "$QUOTA" && echo "$us 100000" >"$QUOTA/cpu.max"
    else
        return 1
    fi && echo "$1" >"$QUOTA/cgroup.procs"
}

# quota_ends PROCESS
quota_ends() {
    echo "$1" >"$QUOTA_HOME/cgroup.procs" && rmdir "$QUOTA"
}

# begin TOOL:PACKAGE...: what the lane needs besides root and the programs.
begin() {
    if [ "$(id -u)" -ne 0 ]; then skip "needs root, to make network namespaces"; fi
    local program
    for program in floodmark floodmark-agent; do
        if ! [ -x "$BIN/$program" ]; then
            skip "$BIN/$program is not there; build it with \`cargo build --release\`, or name its folder"
        fi
    done
    BIN=$(cd "$BIN" && pwd)
    WORK=$(mktemp -d)
    trap leave EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    install_missing "$@"
    if ! ip netns add "$NS-try" 2>"$WORK/why"; then skip "no network namespaces here: $(cat "$WORK/why")"; fi
    ip netns delete "$NS-try"
}

install_missing() {
    local tool missing=()
    for tool in "$@"; do
        command -v "${tool%:*}" >"$WORK/which" || missing+=("${tool#*:}")
    done
    if [ ${#missing[@]} -eq 0 ]; then return; fi
    command -v apt-get >"$WORK/which" || skip "${missing[*]} missing, and no apt-get to install them"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "${missing[@]}"; } >"$WORK/apt.log" 2>&1; then
        skip "cannot install ${missing[*]}: $(tail -n 1 "$WORK/apt.log")"
    fi
}

# What a lane itself has to remove; it may define its own.
leave_lane() { :; }

# Ends what was started, newest first, and removes what was made.
leave() {
    local code=$? i host
    set +e
    for ((i = ${#PIDS[@]} - 1; i >= 0; i--)); do end_process "${PIDS[i]}" 2>"$WORK/leave"; done
    leave_lane
    if [ -n "${QUOTA:-}" ] && [ -d "$QUOTA" ]; then rmdir "$QUOTA"; fi
    for host in "${HOSTS[@]}"; do ip netns delete "$NS-$host"; done
    if [ "$FAILED" -gt 0 ]; then
        for log in "$WORK"/*.log; do
            if [ -s "$log" ]; then echo "--- end of $(basename "$log")" && tail -n 15 "$log"; fi
        done >&2
    fi
    rm -rf "$WORK"
    exit "$code"
}

finish() {
    echo "$LANE: $PASSED passed, $FAILED failed"
    [ "$FAILED" -eq 0 ]
    exit
}

# end_process PID [SIGNAL]: TERM, and KILL after 5 s. Only for children of this shell.
end_process() {
    kill -s "${2:-TERM}" "$1" || return 0
    until_true 5000 gone "$1" || kill -s KILL "$1"
    wait "$1"
}

gone() {
    ! grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null
}

# Ends the newest process that `start` started.
end_newest() {
    end_process "${PIDS[-1]}" "$@"
    unset 'PIDS[-1]'
}

# The bridge that hosts are plugged into.
make_network() {
    ip netns add "$NS-net"
    HOSTS+=(net)
    ip -n "$NS-net" link add br0 type bridge
    ip -n "$NS-net" link set br0 up
}

# make_host NAME ADDRESS: a namespace on the bridge; its end of the cable there is v-NAME.
make_host() {
    ip netns add "$NS-$1"
    HOSTS+=("$1")
    ip -n "$NS-net" link add "v-$1" type veth peer name host0 netns "$NS-$1"
    ip -n "$NS-net" link set "v-$1" master br0 up
    ip -n "$NS-$1" address add "$2/24" dev host0
    ip -n "$NS-$1" link set host0 up
    ip -n "$NS-$1" link set lo up
}

# cable NAME up|down
cable() {
    ip -n "$NS-net" link set "v-$1" "$2"
}

# on HOST COMMAND...
on() {
    local host=$1
    shift
    ip netns exec "$NS-$host" "$@"
}

# start LOG HOST COMMAND...: in the background; its process is the last of PIDS.
start() {
    local log=$WORK/$1.log host=$2
    shift 2
    ip netns exec "$NS-$host" "$@" >>"$log" 2>&1 </dev/null &
    PIDS+=($!)
}

SIM=10.77.0.100

# start_sim OPTION...: the simulator, on a host of its own.
start_sim() {
    start sim sim "$BIN/floodmark-agent" sim --listen "$SIM:8000" "$@"
    if ! until_true 5000 sim_answers; then echo "$LANE: the simulator does not start" >&2 && exit 1; fi
}

sim_answers() {
    on sim curl -sf -o "$WORK/health" --max-time 2 "http://$SIM:8000/health"
}

# sim FIELD: of the simulator's totals.
sim() {
    on sim curl -sf --max-time 2 "http://$SIM:8000/counts" | jq -r ".$1"
}
