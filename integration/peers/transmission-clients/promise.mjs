// promise.mjs JOB: as ctrl.mjs, with transmission-promise.
import { setTimeout } from "node:timers/promises";
import Transmission from "transmission-promise";

const job = JSON.parse(process.argv[2]);
const c = new Transmission({ host: job.host, port: job.port, username: job.user, password: job.password });
const say = (step, answer) => console.log(JSON.stringify({ step, answer }));
let id;
const until = async (ok) => {
	for (;;) {
		const t = (await c.get(id)).torrents[0];
		if (ok(t)) return t;
		await setTimeout(50);
	}
};

const added = await c.addFile(job.torrent, { "download-dir": job.from, paused: true });
say("add", added);
id = added.id;
await c.verify(id);
await until((t) => t.status === 0 && t.leftUntilDone === 0);
say("list", await c.all());
await c.start(id);
await until((t) => t.status === 6);
say("start", await c.get(id));
await c.stop(id);
await until((t) => t.status === 0);
say("pause", await c.get(id));
await c.set(id, { uploadLimit: 50, uploadLimited: true, seedRatioLimit: 1.5, seedRatioMode: 1, labels: ["one", "two"] });
say("set", await c.get(id));
say("files", await c.files(id));
say("peers", await c.peers(id));
say("rename a file", await c.rename(id, "some files/folder/b.txt", "c.txt"));
say("rename all", await c.rename(id, "some files", "mine"));
say("renamed", await until((t) => t.name === "mine" && t.files[1].name === "mine/folder/c.txt"));
await c.move(id, job.to, true);
await until((t) => t.downloadDir === job.to && t.status === 0);
say("move", await c.get(id));
say("statistics", Object.keys(await c.sessionStats()).sort());
say("space", Object.keys(await c.freeSpace(job.to)).filter((k) => k !== "total_size").sort()); // 3.00 has no total_size
await c.remove(id, true);
while ((await c.all()).torrents.length) await setTimeout(50);
say("remove", await c.all());
