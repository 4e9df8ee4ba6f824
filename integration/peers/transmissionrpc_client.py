"""transmissionrpc_client.py JOB: performs the common job of remote controls with python3-transmissionrpc.

It prints an object for each step. JOB has host, port, user, password, torrent (a file), from and to (folders).
"""
import base64
import json
import sys
import time

import transmissionrpc

job = json.loads(sys.argv[1])
c = transmissionrpc.Client(job["host"], port=job["port"], user=job["user"], password=job["password"])


def fields(t):
    return {name: field.value for name, field in t._fields.items()}


def say(step, answer):
    print(json.dumps({"step": step, "answer": answer}), flush=True)


def until(ok):
    while not ok(c.get_torrent(key)):
        time.sleep(0.05)


with open(job["torrent"], "rb") as f:
    metainfo = base64.b64encode(f.read()).decode()
added = c.add_torrent(metainfo, download_dir=job["from"], paused=True)
say("add", fields(added))
key = added.hashString
c.verify_torrent(key)
until(lambda t: t.status == "stopped" and t.progress == 100)
say("list", [fields(t) for t in c.get_torrents()])
c.start_torrent(key)
until(lambda t: t.status == "seeding")
say("start", fields(c.get_torrent(key)))
c.stop_torrent(key)
until(lambda t: t.status == "stopped")
say("pause", fields(c.get_torrent(key)))
c.change_torrent(key, downloadLimit=100, downloadLimited=True, seedRatioLimit=1.5, seedRatioMode=1)
c.change_torrent(key, priority_high=[1], priority_low=[0], peer_limit=33)
say("set", fields(c.get_torrent(key)))
say("limits", [c.get_torrent(key).maxConnectedPeers])
say("files", list(c.get_files().values()))
say("rename a file", c.rename_torrent_path(key, "some files/folder/b.txt", "c.txt"))
say("rename all", c.rename_torrent_path(key, "some files", "mine"))
until(lambda t: t.name == "mine" and t.files()[1]["name"] == "mine/folder/c.txt")
say("renamed", fields(c.get_torrent(key)))
c.move_torrent_data(key, job["to"])
until(lambda t: t.downloadDir == job["to"] and t.status == "stopped")
say("move", fields(c.get_torrent(key)))
c.queue_top(key)
say("session", {"rpc_version": c.get_session().rpc_version > 13})
c.remove_torrent(key, delete_data=True)
while c.get_torrents():
    time.sleep(0.05)
say("remove", c.get_torrents())
