// A node of the npm package bittorrent-dht (WebTorrent's DHT) for the tests: settings as one JSON argument, events as JSON
// lines on stdout, commands as JSON lines on stdin; it ends when stdin is closed. Bytes are always in hex.
//
// Settings: host, port, dht (list of HOST:PORT of bootstrap nodes).
// Events: ready; and for each command one that carries its name as "event" and its "id", with "error" if it failed.
// Commands: {id, do: "announce", infohash, port}          -> {}
//           {id, do: "lookup", infohash}                  -> {peers: ["ip:port", ...]}
//           {id, do: "put", value, seed?, salt?, seq?, cas?} -> {target, nodes}; value is bencoded; with a seed it is signed
//           {id, do: "get", target, salt?}                -> {value: bencoded, seq} or {} if nothing is found
import crypto from 'node:crypto'
import readline from 'node:readline'
import bencode from 'bencode'
import DHT from 'bittorrent-dht'

const settings = JSON.parse(process.argv[2])
const emit = (event, more) => console.log(JSON.stringify({ event, ...more }))

// Node.js reads ed25519 keys only in DER, whose prefix is always the same.
const pkcs8 = seed => Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
const spki = key => Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key])
const secret = seed => crypto.createPrivateKey({ key: pkcs8(seed), format: 'der', type: 'pkcs8' })
const publicOf = seed => crypto.createPublicKey(secret(seed)).export({ format: 'der', type: 'spki' }).subarray(-32)
const verify = (sig, message, key) =>
  crypto.verify(null, message, crypto.createPublicKey({ key: spki(key), format: 'der', type: 'spki' }), sig)

const dht = new DHT({ bootstrap: settings.dht, verify })
dht.on('error', e => { console.error(e); process.exit(1) })
dht.on('warning', e => console.error(String(e)))
dht.listen(settings.port, settings.host)
dht.once('ready', () => emit('ready'))

const hex = s => Buffer.from(s, 'hex')
const commands = {
  announce: (c, done) => dht.announce(c.infohash, c.port, e => done(e)),
  lookup: (c, done) => {
    const peers = new Set()
    const onPeer = (p, infohash) => { if (infohash.toString('hex') === c.infohash) peers.add(p.host + ':' + p.port) }
    dht.on('peer', onPeer)
    dht.lookup(c.infohash, e => { dht.off('peer', onPeer); done(e, { peers: [...peers] }) })
  },
  put: (c, done) => {
    const opts = { v: bencode.decode(hex(c.value)) }
    if (c.seed) {
      opts.k = publicOf(hex(c.seed))
      opts.seq = c.seq
      opts.sign = b => crypto.sign(null, b, secret(hex(c.seed)))
      if (c.salt) opts.salt = hex(c.salt)
      if (c.cas !== undefined) opts.cas = c.cas
    }
    dht.put(opts, (e, hash, nodes) => done(e, { target: hash && Buffer.from(hash).toString('hex'), nodes }))
  },
  get: (c, done) => dht.get(c.target, c.salt ? { salt: hex(c.salt), cache: false } : { cache: false }, (e, r) =>
    done(e, r ? { value: Buffer.from(bencode.encode(r.v)).toString('hex'), seq: r.seq } : {}))
}

readline.createInterface({ input: process.stdin })
  .on('line', line => {
    const c = JSON.parse(line)
    commands[c.do](c, (e, more) => emit(c.do, { id: c.id, ...more, ...(e ? { error: String(e.message || e) } : {}) }))
  })
  .on('close', () => process.exit(0))
