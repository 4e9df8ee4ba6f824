// Hyperdrive for the benchmarks: settings as one JSON argument, events as JSON lines on stdout, commands as lines on
// stdin; it ends when stdin is closed. Nothing reaches further than the HyperDHT of the bootstrap process.
//
// Settings: role, dir, bootstrap ([{host, port}]), and by role:
//   dht        nodes: how many; the event "ready" has the bootstrap list
//   publisher  maxPeers, size: bytes of the first file; "ready" has the key of the drive; the command "put" changes
//              a file, and is answered by "put" with its version and "at", the time just before
//   follower   key; "adopted" has a version whose change is on the disk, and "at", the time just after
// Every event of a publisher or follower has "peers", the number of its connections. Times are in microseconds since 1970.
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import Corestore from 'corestore'
import createTestnet from 'hyperdht/testnet.js'
import Hyperdrive from 'hyperdrive'
import Hyperswarm from 'hyperswarm'

const settings = JSON.parse(process.argv[2])
const emit = (event, more) => console.log(JSON.stringify({ event, ...more }))
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000)
const lines = readline.createInterface({ input: process.stdin }).on('close', () => process.exit(0))

const join = async (drive, options) => {
  const swarm = new Hyperswarm({ bootstrap: settings.bootstrap, ...options })
  swarm.on('connection', c => { c.on('error', () => {}); drive.replicate(c) })
  const topic = swarm.join(drive.discoveryKey, { server: true, client: true })
  await topic.flushed()
  return swarm
}

const roles = {
  dht: async () => {
    const { bootstrap } = await createTestnet(settings.nodes)
    emit('ready', { bootstrap })
  },
  publisher: async () => {
    const drive = new Hyperdrive(new Corestore(settings.dir))
    let isFull = () => false
    await drive.put('/page 0', crypto.randomBytes(settings.size))
    const swarm = await join(drive, { maxPeers: settings.maxPeers, firewall: () => isFull() })
    isFull = () => swarm.connections.size >= settings.maxPeers // maxPeers is only for those that it dials
    emit('ready', { key: drive.key.toString('hex'), version: drive.version, peers: swarm.connections.size })
    lines.on('line', async () => {
      const at = now()
      await drive.put('/new', crypto.randomBytes(2000))
      emit('put', { version: drive.version, at, peers: swarm.connections.size })
    })
  },
  follower: async () => {
    const drive = new Hyperdrive(new Corestore(path.join(settings.dir, 'store')), Buffer.from(settings.key, 'hex'))
    await drive.ready()
    const swarm = await join(drive)
    let had = 0
    const adopt = async () => {
      const seen = drive.checkout(drive.version)
      for (const name of ['page 0', 'new']) {
        const content = await seen.get('/' + name)
        if (!content) continue
        const temporary = path.join(settings.dir, name + '.part')
        fs.writeFileSync(temporary, content)
        fs.renameSync(temporary, path.join(settings.dir, name))
      }
      return seen.version
    }
    for (;;) {
      if (drive.version > 1 && drive.version > had) {
        had = await adopt()
        emit('adopted', { version: had, at: now(), peers: swarm.connections.size })
        continue
      }
      await new Promise(resolve => drive.core.once('append', resolve))
    }
  }
}
await roles[settings.role]()
