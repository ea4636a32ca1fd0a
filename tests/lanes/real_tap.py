#!/usr/bin/env python3
"""A relay between floodmark and a server that keeps every response byte, and a count of them.

    real_tap.py relay TARGET_PORT DIR    prints the port it listens on; one file per connection
    real_tap.py count DIR                what the kept bytes say, as JSON

The count knows nothing of floodmark: Python's own HTTP client takes the responses apart. Only the
loopback interface is used.
"""
import http.client
import io
import json
import pathlib
import socket
import sys
import threading
from collections import Counter


def pump(source, sink, keep):
    try:
        while data := source.recv(65536):
            if keep:
                keep.write(data)
                keep.flush()
            sink.sendall(data)
    except OSError:
        pass
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


def relay(target_port, folder):
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    number = 0
    while True:
        client, _ = listener.accept()
        threading.Thread(target=connection, args=(client, target_port, folder / f"{number:05}"), daemon=True).start()
        number += 1


def connection(client, target_port, path):
    with client, socket.create_connection(("127.0.0.1", target_port)) as server, path.open("wb") as keep:
        up = threading.Thread(target=pump, args=(client, server, None), daemon=True)
        up.start()
        pump(server, client, keep)
        up.join()


class Kept:
    """What `http.client` needs of a socket; the responses of a connection are read off one file."""

    def __init__(self, data):
        self.file = io.BufferedReader(io.BytesIO(data))
        self.file.close = lambda: None

    def makefile(self, _mode):
        return self.file


def count(folder):
    seen = Counter()
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        socket_like = Kept(data)
        while socket_like.file.peek(1):
            response = http.client.HTTPResponse(socket_like, method="POST")
            try:
                response.begin()
                body = response.read()
                seen["whole"] += 1
            except (http.client.HTTPException, ValueError) as error:
                seen["cut"] += 1
                body = getattr(error, "partial", b"")
            if b'"object":"list"' in body:  # the list of models, which is no load
                continue
            seen["responses"] += 1
            seen[f"status_{response.status}"] += 1
            account(body, seen)
    return seen


def account(body, seen):
    texts = [line[5:].strip() for line in body.split(b"\n") if line.startswith(b"data:")] or [body]
    usage, finished, error = None, False, False
    for text in texts:
        try:
            event = json.loads(text)
        except ValueError:
            continue
        usage = event.get("usage") or usage
        error = error or "error" in event
        finished = finished or any(choice.get("finish_reason") for choice in event.get("choices") or [])
    seen["errors"] += error
    seen["finished"] += finished
    if usage and finished and not error:
        seen["prompt"] += usage["prompt_tokens"]
        seen["completion"] += usage["completion_tokens"]
        seen["cached_prompt"] += (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["relay", port, folder]:
            relay(int(port), pathlib.Path(folder))
        case ["count", folder]:
            print(json.dumps(count(pathlib.Path(folder)), sort_keys=True))
        case _:
            sys.exit(__doc__)
