// Does a job with @ctrl/qbittorrent and prints what each step answers.
import { readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { QBittorrent } from '@ctrl/qbittorrent'

const job = JSON.parse(process.argv[2])
const c = new QBittorrent({ baseUrl: job.url, username: 'admin', password: job.password })
const say = (step, answer) => console.log(JSON.stringify({ step, answer }))
// until polls, because the WebAPI has no events.
const until = async (ok) => {
  for (;;) {
    const [x] = await c.listTorrents({ hashes: job.hash })
    if (x && ok(x)) return x
    await setTimeout(50)
  }
}

await c.login()
say('add', await c.addTorrent(readFileSync(job.torrent), { savepath: job.from, category: 'tv', tags: 'a,b', paused: 'true' }))
say('list', await until((x) => /^(stopped|paused)/.test(x.state)))
say('categories', await c.getCategories())
say('properties', await c.torrentProperties(job.hash))
say('trackers', await c.torrentTrackers(job.hash))
say('start', await c.startTorrent(job.hash))
say('seeding', await until((x) => x.state === 'stalledUP'))
say('files', await c.torrentFiles(job.hash))
say('pieces', await c.torrentPieceStates(job.hash))
say('pause', await c.stopTorrent(job.hash))
say('paused', await until((x) => /^(stopped|paused)UP$/.test(x.state)))
say('limit', await c.setTorrentUploadLimit(job.hash, 2048))
say('limited', await c.getTorrentUploadLimit(job.hash))
say('priority', await c.setFilePriority(job.hash, '1', 6))
say('maximum', await c.setFilePriority(job.hash, '0', 7))
say('prioritized', await c.torrentFiles(job.hash))
// named polls until a file has a name, and returns the files.
const named = async (name) => {
  for (;;) {
    const files = await c.torrentFiles(job.hash)
    if (files.some((f) => f.name === name)) return files
    await setTimeout(50)
  }
}
say('rename', await c.setTorrentName(job.hash, 'mine'))
say('named', await until((x) => x.name === 'mine'))
say('rename a file', await c.renameFile(job.hash, 'film/film.mkv', 'film/movie.mkv'))
say('named file', await named('film/movie.mkv'))
say('rename a folder', await c.renameFolder(job.hash, 'film/extra', 'film/more'))
say('named folder', await named('film/more/film.srt'))
say('tag', await c.addTorrentTags(job.hash, 'c'))
say('untag', await c.removeTorrentTags(job.hash, 'a'))
say('create', await c.createCategory('film', job.to))
say('label', await c.setTorrentCategory(job.hash, 'film'))
say('labelled', await until((x) => x.category === 'film' && x.tags === 'b, c'))
say('move', await c.setTorrentLocation(job.hash, job.to))
say('moved', await until((x) => x.save_path === job.to && x.state !== 'moving'))
say('magnet', await c.addMagnet('magnet:?xt=urn:btih:' + 'ab'.repeat(20) + '&dn=hello', { paused: 'true' }))
while ((await c.listTorrents()).length < 2) await setTimeout(50) // qBittorrent answers before it has added it
say('remove', await c.removeTorrent(job.hash + '|' + 'ab'.repeat(20), false))
while ((await c.listTorrents()).length > 0) await setTimeout(50)
say('removed', await c.listTorrents())
