#!/usr/bin/env bash
# Several hosts on one machine: agents, coordinator and target in network namespaces of their own on
# one bridge, 10.77.0.0/24, with certificates from `floodmark pki`.
#
# Checks that a campaign over mutual TLS accounts for what the target saw, that whoever lacks the
# right certificate or target is refused before anything is sent, that a starved agent is called the
# limit, and what happens when a cable is cut or an agent suspended. With --figure it measures
# instead: 1,000 users on 4 agents.
#
#   tests/lanes/netns.sh [--figure] [--skip-ok] [DIR]
#
# DIR         where floodmark and floodmark-agent are (default: target/release of this checkout)
# --figure    1,000 users against a simulator of 200 ms, 20 ms, 100 tokens; about two minutes
# --skip-ok   succeed where this cannot run
#
# Needs root and iproute2, curl and jq, of which it installs what is missing. Everything else that
# it makes is gone when it ends.
set -euo pipefail

LANE=netns
source "$(dirname "$0")/lib.sh"

MODE=checks
while [ $# -gt 0 ]; do
    case $1 in
    --figure) MODE=figure ;;
    --skip-ok) SKIP_OK=yes ;;
    -*) echo "$LANE: $1 is not an option; see the head of $0" >&2 && exit 2 ;;
    *) BIN=$1 ;;
    esac
    shift
done

declare -A PROCESS

# start_agent NAME ADDRESS PORT TARGETS: on the host NAME.
start_agent() {
    local name=$1 port=$3 config=$WORK/$1-$3.toml
    cat >"$config" <<CONFIG
listen = "$2:$port"
name = "$name"
workers = 1
tls_cert = "$WORK/$name/agent-$name.pem"
tls_key = "$WORK/$name/agent-$name.key"
tls_ca = "$WORK/$name/coordinator-ca.pem"
targets = [$4]
CONFIG
    start "agent-$name-$port" "$name" "$BIN/floodmark-agent" serve --config "$config"
    PROCESS[$name:$port]=${PIDS[-1]}
}

make_agent() {
    make_host "$1" "$2"
    "$BIN/floodmark" pki issue agent "$1" --dir "$WORK/pki" --out "$WORK/$1" >>"$WORK/pki.log"
    start_agent "$1" "$2" 7070 "\"$SIM:8000\""
}

# coordinator SAID COMMAND...: floodmark on the coordinator's host with its certificate; what it
# says goes to the file, its exit code to CODE.
coordinator() {
    local said=$WORK/$1
    shift
    CODE=0
    on lab "$BIN/floodmark" "$@" "${TLS[@]}" >"$said" 2>&1 || CODE=$?
}

agents_idle() {
    coordinator looks agents --agents "$1"
    [ "$CODE" -eq 0 ] && [ "$(tail -n +2 "$WORK/looks" | grep -c ' -$')" -eq "$(tail -n +2 "$WORK/looks" | wc -l)" ]
}

summary() {
    jq -r "$2" "$WORK/$1/summary.json"
}

fleet() {
    "$BIN/floodmark" pki init --dir "$WORK/pki" >>"$WORK/pki.log"
    "$BIN/floodmark" pki issue coordinator lab --dir "$WORK/pki" >>"$WORK/pki.log"
    TLS=(--tls-cert "$WORK/pki/coordinator-lab.pem" --tls-key "$WORK/pki/coordinator-lab.key"
        --tls-ca "$WORK/pki/agent-ca.pem")
    make_network
    make_host lab 10.77.0.1
    make_host sim "$SIM"
    local i list=()
    for ((i = 1; i <= $1; i++)); do
        make_agent "h$i" "10.77.0.1$i"
        list+=("10.77.0.1$i:7070")
    done
    AGENTS=$(IFS=, && echo "${list[*]}")
    TARGET=(--target "http://$SIM:8000" --model sim)
    if ! until_true 10000 agents_idle "$AGENTS"; then
        cat "$WORK/looks" >&2
        echo "$LANE: the agents do not start" >&2
        FAILED=1
        exit 1
    fi
}

# The coordinator does not ask the target how it counts prompts, so that what reaches it is load.
UNASKED=(--set workloads.default.lengths=characters)

# A level that lasts a minute unless something ends it.
LONG=(--users 8 --output-tokens 100 --requests 480 "${UNASKED[@]}")

campaign_accounts_for_everything() {
    cat >"$WORK/two.toml" <<'CAMPAIGN'
name = "two"
mode = "paper"
[target]
base_urls = ["http://127.0.0.1:1"]
model = "sim"
[workloads.short]
input_tokens = 100
output_tokens = 20
[phases]
scaling = { users = [4, 8], requests = [80, 160], workload = "short", cooldown = "1s" }
CAMPAIGN
    coordinator two.log run "$WORK/two.toml" "${TARGET[@]}" --agents "$AGENTS" --result-dir "$WORK/two"
    same "campaign over mutual TLS: exit code" 0 "$CODE"
    if ! [ -e "$WORK/two/summary.json" ]; then return; fi
    same "levels" 2 "$(summary two '.levels | length')"
    same "requests started = planned" 240 "$(summary two '[.levels[].requests.started] | add')"
    same "requests started = those the target got" "$(sim received)" "$(summary two '[.levels[].requests.started] | add')"
    same "requests succeeded = those the target answered" "$(sim completed)" "$(summary two '[.levels[].requests.succeeded] | add')"
    same "tokens = those the target sent" "$(sim completion_tokens)" "$(summary two '[.levels[].tokens.completion] | add')"
    same "every agent had its share" '["h1",2,40] ["h1",4,80] ["h2",2,40] ["h2",4,80]' \
        "$(summary two '[.levels[].per_agent[] | [.agent, .users, .requests.started]] | sort | map(tojson) | join(" ")')"
}

# refused NAME CODES TEXT ARGUMENT...: the run is refused with one of the codes and says the text,
# and nothing reaches the target.
refused() {
    local name=$1 codes=$2 text=$3 before code=0
    shift 3
    before=$(sim received)
    on lab "$BIN/floodmark" run "${TARGET[@]}" --users 2 "${UNASKED[@]}" \
        --result-dir "$WORK/refused" "$@" >"$WORK/said" 2>&1 || code=$?
    rm -rf "$WORK/refused"
    case " $codes " in
    *" $code "*) pass "$name: exit code ($code)" ;;
    *) fail "$name: exit code $code, wanted one of $codes" ;;
    esac
    said "$name: says why" "$text" "$WORK/said"
    same "$name: nothing reached the target" "$before" "$(sim received)"
}

strangers_are_refused() {
    local pki=$WORK/pki other=$WORK/other one=10.77.0.11:7070
    "$BIN/floodmark" pki init --dir "$other" >>"$WORK/pki.log"
    "$BIN/floodmark" pki issue coordinator lab --dir "$other" >>"$WORK/pki.log"
    refused "no certificate" 4 "will not dial agent $one without certificates" --agents "$one"
    refused "a coordinator of another issuer" 4 "agent $one: " --agents "$one" \
        --tls-cert "$other/coordinator-lab.pem" --tls-key "$other/coordinator-lab.key" --tls-ca "$pki/agent-ca.pem"
    refused "agents of another issuer" 4 "agent $one: " --agents "$one" \
        --tls-cert "$pki/coordinator-lab.pem" --tls-key "$pki/coordinator-lab.key" --tls-ca "$other/agent-ca.pem"
    refused "an agent's certificate as the coordinator's" 2 "not a certificate for coordinators" --agents "$one" \
        --tls-cert "$WORK/h2/agent-h2.pem" --tls-key "$WORK/h2/agent-h2.key" --tls-ca "$pki/agent-ca.pem"
    # The same without floodmark's own client, which is polite enough to refuse by itself.
    knock "no certificate, another client"
    knock "an agent's certificate, another client" --cert "$WORK/h2/agent-h2.pem" --key "$WORK/h2/agent-h2.key"
    said "the agent's log names the refused" "refused" "$WORK/agent-h1-7070.log"
}

# knock NAME CURL_OPTION...: gets nothing out of an agent.
knock() {
    local name=$1 code=0
    shift
    on lab curl -ks --http2 --max-time 5 -o "$WORK/knocked" -w '%{http_code}' "$@" \
        https://10.77.0.11:7070/floodmark.fleet.v1.Agent/Hello >"$WORK/said" || code=$?
    if [ "$code" -ne 0 ] && [ "$(cat "$WORK/said")" = 000 ]; then
        pass "$name: no answer (curl ends with $code)"
    else
        fail "$name: curl ends with $code, HTTP status $(cat "$WORK/said")"
    fi
}

targets_that_are_not_listed_are_refused() {
    start_agent h2 10.77.0.12 7071 ""
    until_true 5000 agents_idle 10.77.0.12:7071 || fail "the agent without targets does not start"
    refused "a target that one agent does not list" 4 "this agent may not load $SIM port 8000" \
        --agents "10.77.0.11:7070,10.77.0.12:7071" "${TLS[@]}"
    end_newest
}

# begin_long NAME: the long level in the background; returns when the target has seen some of it.
begin_long() {
    SEEN=$(sim received)
    start "$1" lab "$BIN/floodmark" run "${TARGET[@]}" "${LONG[@]}" --result-dir "$WORK/$1" --agents "$2" "${TLS[@]}"
    if ! until_true 10000 more_than_seen 16; then fail "$1: the level does not begin"; fi
}

more_than_seen() {
    [ "$(sim received)" -ge $((SEEN + $1)) ]
}

# run_ended NAME LIMIT_MS SINCE_MS: the run in the background ends in time with code 4.
run_ended() {
    local code=0
    until_true "$2" gone "${PIDS[-1]}" || kill "${PIDS[-1]}"
    within "$1: the run ends" "$2" $(($(now_ms) - $3))
    wait "${PIDS[-1]}" || code=$?
    unset 'PIDS[-1]'
    same "$1: exit code" 4 "$code"
}

# A host that gives the generator a fifth of a core, in slices of 100 ms as schedulers on a crowded
# host do.
a_starved_agent_is_the_limit() {
    local process=${PROCESS[h1:7070]} starver
    (
        for _ in $(seq 1 4000); do
            kill -s STOP "$process" && sleep 0.08 && kill -s CONT "$process" && sleep 0.02 || exit 0
        done
    ) &
    starver=$!
    is_the_limit "a starved agent" starved
    kill "$starver" 2>/dev/null || true
    wait "$starver" 2>/dev/null || true
    kill -s CONT "$process"
}

# The same by the kernel's own means: two hundredths of a core. An agent costs so little that a
# larger quota would not slow it.
an_agent_with_a_quota_is_the_limit() {
    local process=${PROCESS[h1:7070]}
    if ! quota_begins "$process" 2; then
        echo "not checked: a CPU quota: there is no cgroup with a cpu controller here"
        return
    fi
    is_the_limit "an agent with a CPU quota" quota
    quota_ends "$process"
}

# is_the_limit NAME DIR: whatever a slowed h1 measures is about itself, and a load that brings no
# more tokens is not the target's saturation.
is_the_limit() {
    coordinator "$2.log" run "${TARGET[@]}" --users 20,40,80 --duration 3s --output-tokens 20 \
        --agents "$AGENTS" --result-dir "$WORK/$2"
    same "$1: exit code" 0 "$CODE"
    if ! [ -e "$WORK/$2/summary.json" ]; then return; fi
    same "$1: levels that are CLIENT_LIMITED" 3 \
        "$(summary "$2" '[.levels[] | select(any(.verdicts[]; .code == "CLIENT_LIMITED"))] | length')"
    same "$1: the evidence names it" 3 \
        "$(summary "$2" '[.levels[].verdicts[] | select(.code == "CLIENT_LIMITED" and (.evidence | contains("h1")))] | length')"
    same "$1: levels called SATURATED" 0 \
        "$(summary "$2" '[.levels[] | select(.status == "SATURATED" or .axes.load == "SATURATED")] | length')"
    same "$1: saturation" null "$(summary "$2" .saturation.users)"
}

an_agents_cable_is_cut() {
    local cut
    begin_long agent-cut "$AGENTS"
    cut=$(now_ms)
    cable h2 down
    run_ended "an agent's cable is cut" 10000 "$cut"
    said "an agent's cable is cut: says which" 10.77.0.12:7070 "$WORK/agent-cut.log"
    cable h2 up
    check "both agents are idle again" until_true 10000 agents_idle "$AGENTS"
}

# The agent still reaches the target, so only its lease stops it. The ledger of the target tells.
the_coordinators_cable_is_cut() {
    local at cut last
    begin_long lab-cut 10.77.0.11:7070
    cut=$(now_ms)
    cable lab down
    at=$(sim now_ns)
    run_ended "the coordinator's cable is cut" 10000 "$cut"
    until_true 3000 sim_is_empty || true
    same "the coordinator's cable is cut: in flight at the target after the lease" 0 "$(sim in_flight)"
    last=$(on sim curl -sf --max-time 5 "http://$SIM:8000/truth" |
        jq "(([.requests[].arrival_ns] | max) - $at) / 1000000 | round")
    within "the coordinator's cable is cut: last request at the target" 5100 "$last"
    if [ "$last" -gt 1000 ]; then
        pass "the coordinator's cable is cut: it went on until the lease ended"
    else
        fail "the coordinator's cable is cut: the last request came after $last ms, so the lease was not what ended it"
    fi
    cable lab up
    check "the agent is idle again" until_true 10000 agents_idle 10.77.0.11:7070
}

# As a laptop whose lid is shut: it wakes up after its lease, with users that were in mid-request.
an_agent_is_suspended() {
    local process=${PROCESS[h1:7070]} since before
    begin_long suspended 10.77.0.11:7070
    since=$(now_ms)
    kill -s STOP "$process"
    run_ended "an agent is suspended" 10000 "$since"
    until_true 10000 passed_since "$since" 6000
    before=$(sim received)
    kill -s CONT "$process"
    check "an agent is suspended: idle when it is back" until_true 10000 agents_idle 10.77.0.11:7070
    same "an agent is suspended: requests after it woke" "$before" "$(sim received)"
}

# passed_since SINCE_MS LENGTH_MS
passed_since() {
    [ "$(now_ms)" -ge $(($1 + $2)) ]
}

sim_is_empty() {
    [ "$(sim in_flight)" = 0 ]
}

# 1,000 users for about 88 s: that in_flight_mean, which is over the whole wall clock, has room
# neither for a slow ramp nor for pauses between a user's requests.
figure() {
    coordinator figure.log run "${TARGET[@]}" --users 1000 --requests 40000 --input-tokens 500 --output-tokens 100 \
        --agents "$AGENTS" --result-dir "$WORK/figure"
    same "exit code" 0 "$CODE"
    if ! [ -e "$WORK/figure/summary.json" ]; then return; fi
    summary figure '.levels[0] | "in_flight_mean \(.in_flight_mean)  peak \(.in_flight_peak)  below 95 %: \(.in_flight_below_95pct_share)
wall \(.wall_s) s  output tokens/s \(.rates.output_tok_s)
ttft p50 \(.latency_ms.ttft.p50) p99 \(.latency_ms.ttft.p99) ms (the simulator: 200)  e2e p50 \(.latency_ms.e2e.p50) p99 \(.latency_ms.e2e.p99) ms (2180)
busiest worker \(.client.worker_cpu_max)  loop lag p99 \(.client.loop_lag_p99_ms) ms  status \(.status)"'
    check "in_flight_mean >= 990" test "$(summary figure '.levels[0].in_flight_mean >= 990')" = true
    same "requests succeeded" 40000 "$(summary figure '.levels[0].requests.succeeded')"
    same "requests failed" 0 "$(summary figure '.levels[0].requests.failed')"
    same "client tokens = server tokens" "$(sim completion_tokens)" "$(summary figure '.levels[0].tokens.completion')"
}

begin ip:iproute2 curl:curl jq:jq
case $MODE in
checks)
    fleet 2
    start_sim --ttft 50ms --itl 5ms
    campaign_accounts_for_everything
    strangers_are_refused
    targets_that_are_not_listed_are_refused
    a_starved_agent_is_the_limit
    an_agent_with_a_quota_is_the_limit
    an_agents_cable_is_cut
    the_coordinators_cable_is_cut
    an_agent_is_suspended
    ;;
figure)
    fleet 4
    start_sim --ttft 200ms --itl 20ms
    figure
    ;;
esac
finish
