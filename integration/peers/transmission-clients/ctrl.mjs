// ctrl.mjs JOB: performs the common job of remote controls with @ctrl/transmission and prints an
// object for each step. JOB has host, port, user, password, torrent (a file), from and to (folders).
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Transmission } from "@ctrl/transmission";

const job = JSON.parse(process.argv[2]);
const c = new Transmission({ baseUrl: `http://${job.host}:${job.port}/`, username: job.user, password: job.password });
const say = (step, answer) => console.log(JSON.stringify({ step, answer }));
const listed = async () => (await c.listTorrents()).arguments;
const until = async (ok) => {
	for (;;) {
		const t = (await c.listTorrents(hash)).arguments.torrents[0];
		if (ok(t)) return t;
		await setTimeout(50);
	}
};

const metainfo = readFileSync(job.torrent).toString("base64");
const added = await c.addTorrent(metainfo, { "download-dir": job.from, paused: true });
say("add", added);
const hash = added.arguments["torrent-added"].hashString;
say("add again", await c.addTorrent(metainfo, { "download-dir": job.from, paused: true }));
await c.verifyTorrent(hash);
await until((t) => t.status === 0 && t.leftUntilDone === 0);
say("list", await listed());
await c.resumeTorrent(hash);
await until((t) => t.status === 6);
say("start", await listed());
await c.pauseTorrent(hash);
await until((t) => t.status === 0);
say("pause", await listed());
await c.setTorrent(hash, { downloadLimit: 100, downloadLimited: true, seedRatioLimit: 1.5, seedRatioMode: 1, seedIdleLimit: 60, seedIdleMode: 1 });
await c.setTorrent(hash, { labels: ["one", "two"] });
await c.setTorrent(hash, { "priority-high": [1], "priority-low": [0], "peer-limit": 33 });
say("set", await listed());
say("limits", await until(() => true).then((t) => [t.maxConnectedPeers, t["peer-limit"]]));
say("normalized", await c.getTorrent(hash));
say("rename a file", await c.renamePath(hash, { path: "some files/folder/b.txt", name: "c.txt" }));
say("rename a folder", await c.renamePath(hash, { path: "some files/folder", name: "part" }));
say("rename all", await c.renamePath(hash, { path: "some files", name: "mine" }));
say("renamed", await until((t) => t.name === "mine" && t.files[1].name === "mine/part/c.txt"));
await c.moveTorrent(hash, job.to);
await until((t) => t.downloadDir === job.to && t.status === 0);
say("move", await listed());
await c.queueTop(hash);
await c.removeTorrent(hash, true);
while ((await listed()).torrents.length) await setTimeout(50);
say("remove", await listed());
