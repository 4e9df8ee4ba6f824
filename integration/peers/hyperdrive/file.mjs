// Hyperdrive for the benchmark of a file that changes: settings as one JSON argument, events as JSON lines on stdout,
// commands as lines on stdin; it ends when stdin is closed. The two sides have one connection over TCP.
//
// Settings: role, dir, file, and by role:
//   source   "ready" has the key of the drive and the port; the command "put" reads the file into the drive,
//            and is answered by "put" with its version and "at", the time just before
//   copy     key, port; "adopted" has a version of which the file is a copy, and "at", the time just after
// Times are in microseconds since 1970.
import fs from 'node:fs'
import net from 'node:net'
import readline from 'node:readline'
import { pipeline } from 'node:stream/promises'
import Corestore from 'corestore'
import Hyperdrive from 'hyperdrive'

const settings = JSON.parse(process.argv[2])
const emit = (event, more) => console.log(JSON.stringify({ event, ...more }))
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)
const lines = readline.createInterface({ input: process.stdin }).on('close', () => process.exit(0))

const roles = {
  source: async () => {
    const drive = new Hyperdrive(new Corestore(settings.dir))
    await drive.ready()
    const server = net.createServer(s => { s.on('error', () => {}).pipe(drive.replicate(false)).pipe(s) })
    server.listen(0, '127.0.0.1', () => emit('ready', { key: drive.key.toString('hex'), port: server.address().port, version: 0 }))
    lines.on('line', async () => {
      const at = now()
      await pipeline(fs.createReadStream(settings.file), drive.createWriteStream('/file'))
      emit('put', { version: drive.version, at })
    })
  },
  copy: async () => {
    const drive = new Hyperdrive(new Corestore(settings.dir), Buffer.from(settings.key, 'hex'))
    await drive.ready()
    const s = net.connect(settings.port, '127.0.0.1')
    s.pipe(drive.replicate(true)).pipe(s)
    for (let had = 1; ;) {
      if (drive.version === had) {
        await new Promise(resolve => drive.core.once('append', resolve))
        continue
      }
      const seen = drive.checkout(drive.version)
      await pipeline(seen.createReadStream('/file'), fs.createWriteStream(settings.file + '.part'))
      fs.renameSync(settings.file + '.part', settings.file)
      had = seen.version
      emit('adopted', { version: had, at: now() })
    }
  }
}
await roles[settings.role]()
