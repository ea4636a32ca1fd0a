#!/usr/bin/env bash
# floodmark against real servers, its counts against theirs. Run by hand: the servers are gigabytes of
# downloads and no part of this repository.
#
#   real.sh SERVER_SCRIPT_DIR BIN_DIR [vllm|transformers|llama]...
#
# SERVER_SCRIPT_DIR holds serve_vllm_cpu.sh, serve_transformers.sh and serve_llama_cpp_python.sh; each takes a
# port and the server's own flags, and serves a model named "tiny" with a context of 4,096 tokens on loopback.
# BIN_DIR holds floodmark. Needs bash, python3, curl, setsid, taskset. Env: KEEP=1 keeps the results, START_S=900 is how long
# a server may take to start.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2; }
SCRIPTS=$(cd "$1" && pwd)
BIN=$(cd "$2" && pwd)
shift 2
[ $# -gt 0 ] || set -- vllm transformers llama
LANE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$(mktemp -d)
PASSED=0 FAILED=0 SERVER='' TAP=''
# A server whose threads spin can starve everything else on its cores for seconds, which floodmark rightly calls a
# lost agent; so the last core is kept from it.
CORES=0-$(($(nproc) > 1 ? $(nproc) - 2 : 0))
unset OPENAI_API_KEY
# transformers serve lists its models from there, and fails if it does not exist.
export HF_HUB_CACHE=$WORK/hub
mkdir "$HF_HUB_CACHE"

finish() {
  untap
  stop
  if [ "${KEEP:-0}" = 1 ] || [ "$FAILED" -gt 0 ]; then echo "kept: $WORK" >&2; else rm -rf "$WORK"; fi
}
trap finish EXIT

# check NAME COMMAND...
check() {
  local name=$1
  shift
  if "$@"; then
    PASSED=$((PASSED + 1))
    echo "PASS $name"
  else
    FAILED=$((FAILED + 1))
    echo "FAIL $name: $*"
  fi
}

# start SCRIPT FLAGS...: a server of its own process group, on a free port
start() {
  local script=$1
  shift
  PORT=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
  TARGET=http://127.0.0.1:$PORT
  setsid taskset -c "$CORES" "$SCRIPTS/$script" "$PORT" "$@" >"$WORK/server.log" 2>&1 &
  SERVER=$!
  local left=${START_S:-900}
  until curl -s -o "$WORK/models" "$TARGET/v1/models"; do
    left=$((left - 1))
    if [ "$left" -le 0 ] || ! kill -0 "$SERVER" 2>/dev/null; then
      echo "$script did not start:" >&2
      tail -n 20 "$WORK/server.log" >&2
      exit 1
    fi
    sleep 1
  done
}

stop() {
  [ -n "$SERVER" ] || return 0
  kill -TERM -- "-$SERVER" 2>/dev/null || true
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 -- "-$SERVER" 2>/dev/null || break
    sleep 1
  done
  kill -KILL -- "-$SERVER" 2>/dev/null || true
  wait "$SERVER" 2>/dev/null || true
  SERVER=''
}

# tap NAME: from here on TARGET is a relay to the server, which keeps the responses
tap() {
  TAPPED=$WORK/$1.tap
  mkdir "$TAPPED"
  rm -f "$WORK/tap.port"
  python3 "$LANE/real_tap.py" relay "$PORT" "$TAPPED" >"$WORK/tap.port" &
  TAP=$!
  until [ -s "$WORK/tap.port" ]; do sleep 0.1; done
  TARGET=http://127.0.0.1:$(cat "$WORK/tap.port")
}

untap() {
  [ -n "$TAP" ] || return 0
  kill "$TAP" 2>/dev/null || true
  wait "$TAP" 2>/dev/null || true
  TAP='' TARGET=http://127.0.0.1:$PORT
}

# run NAME FLAGS...: RC, and files $WORK/NAME.{out,err} and $WORK/NAME
run() {
  NAME=$1
  shift
  RC=0
  "$BIN/floodmark" run --ui none --result-dir "$WORK/$NAME" "$@" >"$WORK/$NAME.out" 2>"$WORK/$NAME.err" || RC=$?
}

# load NAME FLAGS...: three small levels
load() {
  local name=$1
  shift
  run "$name" --target "$TARGET" --model tiny --users 1,4,8 --requests 24 --input-tokens 50 --output-tokens 16 "$@"
}

# told EXPRESSION: a number of the last run, a Python expression over `s`, the summary; `total(path)` sums a key over
# its levels and `classes` is the set of endings that were no success
told() {
  python3 - "$WORK/$NAME/summary.json" "$1" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
def total(path):
    values = []
    for level in s["levels"]:
        for key in path.split("."):
            level = (level or {}).get(key)
        values.append(level or 0)
    return sum(values)
classes = {name for level in s["levels"] for name in level["requests"]["by_class"]}
said = [text for level in s["levels"] for text in level["requests"]["first_detail"].values()]
result = eval(sys.argv[2])
print(int(result) if isinstance(result, (bool, float)) else result)
PY
}

is() { [ "$1" = "$2" ]; }
holds() { [ "$(told "$1")" = 1 ]; }
says() { grep -q -- "$2" "$WORK/$NAME.$1"; }

# counted KEY: from the kept responses of the tap
counted() { python3 "$LANE/real_tap.py" count "$TAPPED" | python3 -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1], 0))' "$1"; }

# metric NAME [LABEL]: a counter of vLLM
metric() { curl -s "http://127.0.0.1:$PORT/metrics" | grep "^$1{" | grep -- "${2:-}" | awk '{ sum += $2 } END { printf "%d", sum }'; }

mark() {
  PROMPT=$(metric vllm:prompt_tokens_total)
  GENERATED=$(metric vllm:generation_tokens_total)
  SERVED=$(metric vllm:request_success_total 'finished_reason="length"')
}

# Everything succeeded, and the server counted the same.
agrees_with_metrics() {
  check "$NAME: exit code 0" is "$RC" 0
  check "$NAME: every request succeeded" holds "total('requests.succeeded') == total('requests.started') > 0"
  check "$NAME: requests as the server counts" is "$(told "total('requests.succeeded')")" $(($(metric vllm:request_success_total 'finished_reason="length"') - SERVED))
  check "$NAME: prompt tokens as the server counts" is "$(told "total('tokens.prompt')")" $(($(metric vllm:prompt_tokens_total) - PROMPT))
  check "$NAME: completion tokens as the server counts" is "$(told "total('tokens.completion')")" $(($(metric vllm:generation_tokens_total) - GENERATED))
}

agrees_with_tap() {
  check "$NAME: exit code 0" is "$RC" 0
  check "$NAME: every request succeeded" holds "total('requests.succeeded') == total('requests.started') > 0"
  check "$NAME: requests as on the wire" is "$(told "total('requests.succeeded')")" "$(counted finished)"
  check "$NAME: prompt tokens as on the wire" is "$(told "total('tokens.prompt')")" "$(counted prompt)"
  check "$NAME: completion tokens as on the wire" is "$(told "total('tokens.completion')")" "$(counted completion)"
}

vllm() {
  start serve_vllm_cpu.sh
  for endpoint in chat completions; do
    for streaming in on off; do
      mark
      load "vllm-$endpoint-$streaming" --endpoint $endpoint --streaming $streaming
      agrees_with_metrics
    done
  done

  cat >"$WORK/five.toml" <<TOML
name = "five-phases"
mode = "paper"
[target]
base_urls = ["$TARGET"]
model = "tiny"
[workloads.short]
input_tokens = 50
output_tokens = 16
[workloads.long]
input_tokens = 500
output_tokens = 16
[phases]
warmup = { users = 1, workload = "short", requests = 2, cooldown = "1s" }
baseline = { users = 1, workload = "short", requests = 5, cooldown = "1s" }
scaling = { users = [2, 4], workload = "short", requests = 20, cooldown = "1s" }
saturation = { users = [8, 16], workload = "short", requests = 48, cooldown = "1s" }
[[phases.stress]]
users = 4
workload = "long"
requests = 16
cooldown = "1s"
TOML
  mark
  run vllm-five-phases "$WORK/five.toml"
  agrees_with_metrics
  check "$NAME: all five phases" holds "len({level['phase'] for level in s['levels']}) == 5"

  run vllm-too-long --target "$TARGET" --model tiny --users 1,4 --requests 8 --input-tokens 6000 --output-tokens 16
  check "$NAME: every request refused" holds "classes == {'http_4xx'} and total('requests.failed') == total('requests.started')"
  check "$NAME: the server's words are told once" is "$(grep -c 'server said:' "$WORK/$NAME.out")" 1
  check "$NAME: the words name the limit" holds "any('maximum context length' in text for text in said)"

  run vllm-unknown-model --target "$TARGET" --model other --users 1,4 --requests 8 --input-tokens 50 --output-tokens 16
  check "$NAME: every request refused" holds "classes == {'http_4xx'} and total('requests.failed') == total('requests.started')"
  check "$NAME: the words name the model" holds "any('other' in text for text in said)"
  stop

  start serve_vllm_cpu.sh --max-num-seqs 4 --max-num-queued-reqs 8
  for streaming in on off; do
    mark
    tap "overload-$streaming"
    run "vllm-overload-$streaming" --target "$TARGET" --model tiny --users 64 --requests 256 --input-tokens 50 \
      --output-tokens 64 --streaming $streaming
    untap
    check "$NAME: exit code 0" is "$RC" 0
    check "$NAME: some failed, some did not" holds "total('requests.failed') > 0 and total('requests.succeeded') > 0"
    check "$NAME: refusals and errors in streams only" holds "classes <= {'http_503', 'error_in_stream'}"
    check "$NAME: successes as the server counts" is "$(told "total('requests.succeeded')")" $(($(metric vllm:request_success_total 'finished_reason="length"') - SERVED))
    check "$NAME: refusals as on the wire" is "$(told "total('requests.by_class.http_503')")" "$(counted status_503)"
    check "$NAME: errors in streams as on the wire" is "$(told "total('requests.by_class.error_in_stream') + total('requests.by_class.http_503')")" "$(counted errors)"
    check "$NAME: completion tokens as on the wire" is "$(told "total('tokens.completion')")" "$(counted completion)"
    check "$NAME: the server's words" says out 'server said: .*currently busy'
  done
  stop

  local key=canary-$RANDOM$RANDOM$RANDOM
  start serve_vllm_cpu.sh --max-num-seqs 1 --sse-keep-alive-interval 1 --stream-interval 8 --enable-prompt-tokens-details --api-key "$key"
  load vllm-without-key
  check "$NAME: exit code 3" is "$RC" 3
  check "$NAME: says what to do" says err OPENAI_API_KEY
  OPENAI_API_KEY=wrong-$key load vllm-wrong-key
  check "$NAME: exit code 3" is "$RC" 3
  check "$NAME: the wrong key is not shown" hidden "wrong-$key"
  export OPENAI_API_KEY=$key
  mark
  load vllm-key &
  local loading=$!
  sleep 1
  local child
  child=$(pgrep -P "$loading" floodmark || true)
  [ -z "$child" ] || tr '\0' '\n' <"/proc/$child/cmdline" >"$WORK/cmdline" || true
  wait "$loading"
  NAME=vllm-key RC=0
  check "$NAME: the argument list was seen" test -s "$WORK/cmdline"
  agrees_with_metrics
  check "$NAME: eight tokens a chunk" holds "all(level['latency_ms']['icl']['count'] <= 3 * level['requests']['succeeded'] for level in s['levels'])"
  mark
  # A prompt longer than a block of the cache, which is 128 tokens on a CPU.
  run vllm-replay --target "$TARGET" --model tiny --users 1,4 --requests 12 --input-tokens 500 --output-tokens 16 \
    --set 'workloads.default.cache="replay"'
  agrees_with_metrics
  check "$NAME: prompts came from the cache" holds "0 < total('tokens.cached_prompt') < total('tokens.prompt')"
  mark
  tap keep-alive
  run vllm-keep-alive --target "$TARGET" --model tiny --users 8 --requests 16 --input-tokens 50 --output-tokens 512
  untap
  agrees_with_metrics
  check "$NAME: comments came" grep -rqa '^: keep-alive' "$TAPPED"
  check "$NAME: no comment is a token" holds "total('latency_ms.icl.count') <= 66 * total('requests.succeeded')"
  unset OPENAI_API_KEY
  check "$NAME: the key is in no output" hidden "$key"
  stop
}

# hidden KEY: in no result, no output, no argument list
hidden() { ! grep -rqaF --exclude='server.log' --exclude='*.tap' -- "$1" "$WORK"; }

transformers() {
  start serve_transformers.sh
  load transformers-forced
  check "$NAME: every request refused" holds "classes == {'http_4xx'} and total('requests.failed') == total('requests.started')"
  check "$NAME: the server's words" says out 'server said: .*ignore_eos'
  for endpoint in chat completions; do
    for streaming in on off; do
      tap "transformers-$endpoint-$streaming"
      load "transformers-$endpoint-$streaming" --endpoint $endpoint --streaming $streaming --set workloads.default.forced_length=false
      untap
      agrees_with_tap
    done
  done
  stop
}

llama() {
  start serve_llama_cpp_python.sh --interrupt_requests False
  for endpoint in chat completions; do
    for streaming in on off; do
      tap "llama-$endpoint-$streaming"
      load "llama-$endpoint-$streaming" --endpoint $endpoint --streaming $streaming --set workloads.default.forced_length=false
      untap
      agrees_with_tap
    done
  done
  stop

  start serve_llama_cpp_python.sh
  tap llama-interrupted
  run llama-interrupted --target "$TARGET" --model tiny --users 1,4 --requests 16 --input-tokens 50 --output-tokens 200 \
    --set workloads.default.forced_length=false
  untap
  check "$NAME: exit code 0" is "$RC" 0
  check "$NAME: answers without a finish reason are failures" holds "classes <= {'truncated', 'empty_output'}"
  check "$NAME: successes as on the wire" is "$(told "total('requests.succeeded')")" "$(counted finished)"
  tap llama-too-long
  run llama-too-long --target "$TARGET" --model tiny --users 1 --requests 2 --input-tokens 12000 --output-tokens 16 \
    --set workloads.default.forced_length=false --set 'target.timeouts.total="20s"'
  untap
  check "$NAME: no success" holds "total('requests.failed') == total('requests.started') > 0"
  stop
}

for server in "$@"; do
  case $server in
    vllm | transformers | llama) "$server" ;;
    *) echo "unknown server $server: vllm, transformers or llama" >&2; exit 2 ;;
  esac
done
echo "$PASSED passed, $FAILED failed"
[ "$FAILED" -eq 0 ]
