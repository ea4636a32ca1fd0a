#!/usr/bin/env bash
# The systemd unit on real hosts: two Debian systems, booted with systemd-nspawn in network
# namespaces of their own.
#
# Follows deploy/README.md: every code block in it is run as it stands, on the host that it is
# tagged with. Between "Use" and "Renew a certificate" it checks the unit: notified, confined, back
# and idle after SIGKILL, silent and clean after `systemctl stop`.
#
#   tests/lanes/nspawn.sh [--cache DIR] [--mirror URL] [--skip-ok] [DIR]
#
# DIR           where floodmark and floodmark-agent are (default: target/release of this checkout);
#               they must run on the release of Debian or Ubuntu that this machine has
# --cache DIR   where the root file system is kept between runs
#               (default: ${XDG_CACHE_HOME:-~/.cache}/floodmark-lanes)
# --mirror URL  where its packages come from (default: where those of this machine do)
# --skip-ok     succeed where this cannot run
#
# Needs root and systemd-container, debootstrap, dbus, iproute2, curl, jq and procps, of which it
# installs what is missing. The first run makes the root file system, in about a minute and a half.
set -euo pipefail

LANE=nspawn
source "$(dirname "$0")/lib.sh"

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/floodmark-lanes
MIRROR=
while [ $# -gt 0 ]; do
    case $1 in
    --cache) CACHE=${2:?--cache needs a folder} && shift ;;
    --mirror) MIRROR=${2:?--mirror needs a URL} && shift ;;
    --skip-ok) SKIP_OK=yes ;;
    -*) echo "$LANE: $1 is not an option; see the head of $0" >&2 && exit 2 ;;
    *) BIN=$1 ;;
    esac
    shift
done

# The root file system, of the release that this machine runs and from where its packages come.
make_root() {
    local codename new
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    ROOT=$CACHE/$codename
    if [ -d "$ROOT" ]; then return; fi
    if [ -z "$MIRROR" ]; then
        # shellcheck disable=SC2016
        MIRROR=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
            awk -v release="$codename" '$1 == release && $2 == "main" { print $3; exit }')
    fi
    # A file of mirrors, as on some hosted machines: the first will do.
    case $MIRROR in
    mirror+file:*)
        MIRROR=${MIRROR#mirror+file:}
        MIRROR=$(awk '!/^#/ && NF { print $1; exit }' "${MIRROR%/}")
        ;;
    esac
    if [ -z "$MIRROR" ]; then skip "apt has no main archive of \"$codename\"; name one with --mirror"; fi
    echo "making $ROOT"
    mkdir -p "$CACHE"
    new=$(mktemp -d "$CACHE/new.XXXXXX")
    if ! debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,procps,openssh-server \
        "$codename" "$new" "$MIRROR" >"$WORK/debootstrap.log" 2>&1; then
        rm -rf "$new"
        FAILED=1
        echo "$LANE: debootstrap failed" >&2
        exit 1
    fi
    rm -f "$new"/var/cache/apt/archives/*.deb
    chmod 755 "$new"
    mv "$new" "$ROOT"
}

declare -A LEADER
MACHINES=()

# What systemd-nspawn leaves behind on a machine without systemd.
leave_lane() {
    local machine
    for machine in "${MACHINES[@]}"; do
        if [ -d "/run/systemd/nspawn/propagate/$machine" ]; then rmdir "/run/systemd/nspawn/propagate/$machine"; fi
    done
}

# boot NAME NSPAWN_OPTION...: what is written inside is gone when it ends.
boot() {
    local name=$1
    shift
    MACHINES+=("$NS-$name")
    systemd-nspawn --quiet --directory="$ROOT" --volatile=overlay --register=no --keep-unit --boot \
        --network-namespace-path="/run/netns/$NS-$name" --machine="$NS-$name" --hostname="$name" \
        --console=pipe "$@" >"$WORK/$name.log" 2>&1 </dev/null &
    PIDS+=($!)
    if ! until_true 60000 is_up "$name" "$!"; then
        FAILED=1
        echo "$LANE: $name does not boot" >&2
        exit 1
    fi
}

# is_up NAME PID: of systemd-nspawn. Its first child is a helper that soon ends, so look each time.
is_up() {
    LEADER[$1]=$(ps -o pid= --ppid "$2" | head -n 1 | tr -d ' ')
    [ -n "${LEADER[$1]}" ] || return 1
    case $(inside "$1" systemctl is-system-running 2>>"$WORK/boot" </dev/null) in
    running | degraded) return 0 ;;
    *) return 1 ;;
    esac
}

# inside HOST COMMAND... (standard input is the command's)
inside() {
    local host=$1
    shift
    nsenter -t "${LEADER[$host]}" -m -u -i -n -p -C env -i HOME=/root LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

shell() {
    inside "$1" bash -euo pipefail -c "$2" </dev/null
}

# What the README takes for granted: the two names, and ssh from one to the other.
introduce() {
    local host
    for host in lab load-1; do
        shell "$host" 'printf "10.77.0.1 lab\n10.77.0.11 load-1\n10.77.0.100 gpu-1\n" >>/etc/hosts'
    done
    shell lab 'ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519'
    inside lab cat /root/.ssh/id_ed25519.pub </dev/null |
        inside load-1 bash -c 'umask 077; mkdir -p ~/.ssh; cat >~/.ssh/authorized_keys'
    inside load-1 sed 's/^/load-1 /' /etc/ssh/ssh_host_ed25519_key.pub </dev/null |
        inside lab bash -c 'cat >~/.ssh/known_hosts'
}

# Splits the README's code blocks into files NUMBER.HOST, with their section in NUMBER.section.
split_readme() {
    mkdir "$WORK/readme"
    awk -v dir="$WORK/readme" '
        /^## / { section = substr($0, 4) }
        !file && /^```/ { n++; file = dir "/" n "." ($2 ? $2 : "nowhere"); print section > (dir "/" n ".section"); next }
        file && /^```/ { file = ""; next }
        file { print > file }
    ' "$REPO/deploy/README.md"
    same "README: code blocks without a host" "" "$(cd "$WORK/readme" && find . -name '*.nowhere')"
}

# follow SECTION: runs the section's blocks in order. What they say goes to SAID.
follow() {
    local number block host code
    SAID=$WORK/said
    : >"$SAID"
    for number in $(cd "$WORK/readme" && grep -lxF -- "$1" ./*.section | tr -dc '0-9\n' | sort -n); do
        block=$(cd "$WORK/readme" && echo "$number".l*)
        host=${block#*.}
        code=0
        shell "$host" "cd ~; if [ $host = lab ]; then cd floodmark; fi; $(cat "$WORK/readme/$block")" \
            >>"$SAID" 2>&1 || code=$?
        if [ "$code" -eq 0 ]; then
            pass "README, $1: block $number on $host"
        else
            fail "README, $1: block $number on $host ends with $code: $(tail -n 5 "$SAID" | tr '\n' ' ')"
        fi
    done
}

# unit PROPERTY
unit() {
    inside load-1 systemctl show --property="$1" --value floodmark-agent </dev/null
}

# The line of /proc/PID/status of the agent.
process() {
    inside load-1 awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(unit MainPID)/status" </dev/null
}

PKI=/root/floodmark-pki
FLEET=(--agents load-1:7070 --tls-cert "$PKI/coordinator-lab.pem" --tls-key "$PKI/coordinator-lab.key"
    --tls-ca "$PKI/agent-ca.pem")

agent_is_idle() {
    inside lab floodmark agents "${FLEET[@]}" >"$WORK/looks" 2>&1 </dev/null && grep -q ' -$' "$WORK/looks"
}

the_unit_is_up_and_confined() {
    same "unit: type" notify "$(unit Type)"
    same "unit: state" "active running" "$(unit ActiveState) $(unit SubState)"
    check "unit: enabled" inside load-1 systemctl is-enabled --quiet floodmark-agent </dev/null
    same "unit: dynamic user" yes "$(unit DynamicUser)"
    check "process: not root" test "$(process Uid)" != 0
    same "process: capabilities" 0000000000000000 "$(process CapEff)"
    same "process: no new privileges" 1 "$(process NoNewPrivs)"
    same "process: system call filter" 2 "$(process Seccomp)"
    same "key: mode and owner" "600 root" "$(inside load-1 stat -c '%a %U' /etc/floodmark/agent.key </dev/null)"
    same "systemd-analyze verify says" "" "$(inside load-1 systemd-analyze verify floodmark-agent.service 2>&1 </dev/null)"
    local code=0
    inside load-1 systemd-analyze security --no-pager --offline=yes --threshold=20 \
        /etc/systemd/system/floodmark-agent.service >"$WORK/exposure" 2>&1 </dev/null || code=$?
    same "systemd-analyze security, at most 2.0" 0 "$code"
    tail -n 1 "$WORK/exposure"
    inside load-1 systemd-analyze security --no-pager floodmark-agent 2>&1 </dev/null | tail -n 1
}

# begin_long NAME: a level of a minute in the background; returns when the target has seen some of it.
begin_long() {
    SEEN=$(sim received)
    inside lab floodmark run --target "http://$SIM:8000" --model sim --users 8 --output-tokens 100 --requests 480 \
        --set workloads.default.lengths=characters \
        --result-dir "/root/$1" "${FLEET[@]}" >"$WORK/$1.log" 2>&1 </dev/null &
    RUN=$!
    if ! until_true 15000 more_than_seen 16; then fail "$1: the level does not begin"; fi
}

more_than_seen() {
    [ "$(sim received)" -ge $((SEEN + $1)) ]
}

# ended NAME: the coordinator noticed, and nothing more reaches the target.
ended() {
    local code=0 before
    before=$(sim received)
    until_true 10000 gone "$RUN" || true
    same "$1: the run has ended" yes "$(gone "$RUN" && echo yes || echo no)"
    if gone "$RUN"; then wait "$RUN" || code=$?; fi
    same "$1: the run's exit code" 4 "$code"
    sleep 2
    same "$1: requests at the target 2 s later" "$before" "$(sim received)"
    same "$1: in flight at the target" 0 "$(sim in_flight)"
}

a_killed_agent_comes_back_idle() {
    local killed before
    begin_long killed
    before=$(unit MainPID)
    killed=$(now_ms)
    inside load-1 systemctl kill --signal=KILL floodmark-agent </dev/null
    until_true 10000 agent_is_idle || true
    within "SIGKILL: back and idle" 3000 $(($(now_ms) - killed))
    cat "$WORK/looks"
    ended "SIGKILL"
    same "SIGKILL: restarts" 1 "$(unit NRestarts)"
    check "SIGKILL: another process" test "$before" != "$(unit MainPID)"
}

a_stopped_agent_leaves_cleanly() {
    local began
    begin_long stopped
    began=$(now_ms)
    inside load-1 systemctl stop floodmark-agent </dev/null
    within "stop: done" 5000 $(($(now_ms) - began))
    ended "stop"
    same "stop: result" "success 0" "$(unit Result) $(unit ExecMainStatus)"
    same "stop: state" inactive "$(unit ActiveState)"
    inside load-1 systemctl start floodmark-agent </dev/null
    check "start: idle again" until_true 5000 agent_is_idle
}

what_cannot_start_is_not_tried_again() {
    shell load-1 'cp /etc/floodmark/agent.toml ~/good.toml; echo "lisden = 1" >>/etc/floodmark/agent.toml'
    check "bad configuration: does not start" test "$(shell load-1 'systemctl restart floodmark-agent 2>/dev/null && echo started || echo failed')" = failed
    same "bad configuration: state" "failed 2" "$(unit ActiveState) $(unit ExecMainStatus)"
    shell load-1 'journalctl -u floodmark-agent -n 20 --no-pager -o cat' >"$WORK/journal"
    said "bad configuration: the journal says what" "lisden" "$WORK/journal"
    shell load-1 'mv ~/good.toml /etc/floodmark/agent.toml; mv /etc/floodmark/agent.key ~/'
    check "no key: does not start" test "$(shell load-1 'systemctl restart floodmark-agent 2>/dev/null && echo started || echo failed')" = failed
    sleep 2
    same "no key: state, exit code of systemd, restarts" "failed 243 0" \
        "$(unit ActiveState) $(unit ExecMainStatus) $(unit NRestarts)"
    shell load-1 'mv ~/agent.key /etc/floodmark/; systemctl restart floodmark-agent'
}

begin systemd-nspawn:systemd-container debootstrap:debootstrap dbus-daemon:dbus ip:iproute2 curl:curl jq:jq \
    ps:procps nsenter:util-linux
make_root
make_network
make_host lab 10.77.0.1
make_host load-1 10.77.0.11
make_host sim "$SIM"
start_sim --ttft 50ms --itl 5ms
boot lab --bind-ro="$REPO/deploy:/root/floodmark/deploy" --bind-ro="$BIN:/root/floodmark/target/release"
boot load-1
introduce
split_readme

follow "Certificates"
follow "An agent"
the_unit_is_up_and_confined
follow "Use"
cat "$SAID"
inside lab cat /root/quick/summary.json >"$WORK/summary.json" </dev/null
same "requests succeeded = those the target answered" "$(sim completed)" \
    "$(jq '[.levels[].requests.succeeded] | add' "$WORK/summary.json")"
same "tokens = those the target sent" "$(sim completion_tokens)" \
    "$(jq '[.levels[].tokens.completion] | add' "$WORK/summary.json")"
a_killed_agent_comes_back_idle
a_stopped_agent_leaves_cleanly
what_cannot_start_is_not_tried_again
before=$(unit InvocationID)
follow "Renew a certificate"
check "renewed: idle" until_true 5000 agent_is_idle
same "renewed: the key's mode" 600 "$(inside load-1 stat -c %a /etc/floodmark/agent.key </dev/null)"
check "renewed: restarted" test "$before" != "$(unit InvocationID)"
follow "Upgrade"
check "upgraded: idle" until_true 5000 agent_is_idle
follow "Remove"
same "removed: the unit" not-found "$(unit LoadState)"
check "removed: nothing is left" test -z "$(shell load-1 'find / -xdev -name "*floodmark*" -not -path "/proc/*" -not -path "/var/log/*"')"
finish
