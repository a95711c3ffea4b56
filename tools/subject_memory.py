#!/usr/bin/env python3
"""How much memory nats-server takes for the log of several nodes: a stream with one message for each user, on a
subject of its own. Prints the resident memory after each number of users given, and after a restart.

subject_memory.py NATS_SERVER FOLDER USERS...   FOLDER is made, and removed at the end.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

RECORD = b"x" * 650  # what a commit takes, about
AT_ONCE, AHEAD_MAX = 2_000, 50_000
PORT = 4699


class Client:
    """As much of NATS as this needs."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.socket.sendall(b'CONNECT {"verbose":false}\r\nSUB answers 1\r\n')

    def call(self, subject, body):
        data = json.dumps(body).encode()
        self.socket.sendall(b"PUB %s answers %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        while True:
            line = self.lines.readline()
            if line.startswith(b"MSG"):
                return json.loads(self.lines.read(int(line.split()[-1]) + 2))
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")

    def stored(self):
        return self.call("$JS.API.STREAM.INFO.LOG", {})["state"]["messages"]

    def await_stored(self, count):
        while self.stored() < count:
            time.sleep(0.05)

    def publish(self, first, end):
        for start in range(first, end, AT_ONCE):
            numbers = range(start, min(end, start + AT_ONCE))
            self.socket.sendall(b"".join(b"PUB log.0.user-%012d %d\r\n%s\r\n" % (it, len(RECORD), RECORD) for it in numbers))
            if start % (10 * AT_ONCE) == 0:
                self.await_stored(start - AHEAD_MAX)
        self.await_stored(end)


def start(server, config):
    running = subprocess.Popen([server, "-c", config], stderr=subprocess.DEVNULL)
    while True:
        try:
            return running, Client()
        except OSError:
            time.sleep(0.1)


def say(what, process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    kilobytes = int(status.split("VmRSS:")[1].split()[0])
    print(f"{what}: {kilobytes / 1024:.0f} MiB", flush=True)


def main(server, folder, counts):
    os.makedirs(folder)
    config = os.path.join(folder, "nats.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(f'host: 127.0.0.1\nport: {PORT}\njetstream {{ store_dir: "{folder}/store" }}\n')
    process, client = start(server, config)
    try:
        say("without users", process)
        stream = {"name": "LOG", "subjects": ["log.0.*"], "storage": "file", "discard": "new", "deny_purge": True}
        made = client.call("$JS.API.STREAM.CREATE.LOG", stream)
        assert "error" not in made, made
        before = 0
        for count in counts:
            client.publish(before, count)
            say(f"{count} users", process)
            before = count
        process.terminate()
        process.wait()
        begun = time.monotonic()
        process, client = start(server, config)
        client.await_stored(before)
        say(f"{before} users, {time.monotonic() - begun:.0f} s after a restart", process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], [int(count) for count in sys.argv[3:]])
