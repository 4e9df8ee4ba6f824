"""A libtorrent peer for the tests: settings as one JSON argument, events as JSON lines on stdout, commands as JSON lines on
stdin. It ends when stdin is closed.

Settings: listen (list of IP:PORT, one session for each), dht (routers, or [] for no DHT), torrent or magnet, dir, peers,
encryption (0 off, 1 allowed, 2 required), utp (true: dial over uTP only, otherwise use TCP only), lsd (true: find peers in the local network), up/down (bytes a second), sequential (true: request the pieces in order), poll (seconds between two checks for alerts), and
connections (the maximum; with it, no peers events are sent).
Events: start (before the torrent is added), ready, metadata, finished, limited, and peers (list of [ip:port, whether it is known through PEX]) when it changes.
Commands: {"up": n, "down": n}, and for items of the DHT (BEP 44), bytes as hex, each answered by an event of its "id":
{"id", "do": "put", "value", "seed"?, "key"?, "salt"?} -> {"target"?, "nodes"}
{"id", "do": "get", "target" or "key", "salt"?} -> {"value", "seq"?}
Values are byte strings: the binding supports no other types."""
import hashlib, json, select, sys, time
import libtorrent as lt

C = json.loads(sys.argv[1])


def emit(event, **more):
    print(json.dumps({'event': event, **more}), flush=True)


def session(listen):
    return lt.session({
        'listen_interfaces': listen, 'outgoing_interfaces': listen.rsplit(':', 1)[0].strip('[]'),
        'alert_mask': lt.alert.category_t.status_notification | lt.alert.category_t.error_notification
                      | lt.alert.category_t.dht_notification,
        'enable_dht': bool(C.get('dht')), 'dht_bootstrap_nodes': ','.join(C.get('dht') or []),
        'enable_lsd': C.get('lsd', False), 'enable_upnp': False, 'enable_natpmp': False,
        'enable_outgoing_utp': bool(C.get('utp')), 'enable_incoming_utp': bool(C.get('utp')), 'enable_outgoing_tcp': not C.get('utp'),
        'out_enc_policy': 2 - C.get('encryption', 0), 'in_enc_policy': 2 - C.get('encryption', 0),
        'allowed_enc_level': 2 if C.get('encryption', 0) == 2 else 3,
        'allow_multiple_connections_per_ip': True, 'min_reconnect_time': 1, 'max_failcount': 1000,
        'close_redundant_connections': False, 'active_limit': 1000, 'connections_limit': C.get('connections', 200), 'active_seeds': -1, 'active_downloads': -1,
        # A DHT of private addresses.
        'dht_restrict_routing_ips': False, 'dht_restrict_search_ips': False, 'dht_prefer_verified_node_ids': False,
        'dht_enforce_node_id': False, 'dht_ignore_dark_internet': False,
        'aio_threads': 1, 'hashing_threads': 1})


def limit(h, c):
    # Session limits do not apply to private addresses, which have a separate peer class; a torrent's limit does.
    if 'up' in c:
        h.set_upload_limit(c['up'])
    if 'down' in c:
        h.set_download_limit(c['down'])


def expanded(seed):
    """Returns the expanded form of a secret ed25519 key, which libtorrent uses (RFC 8032, 5.1.5)."""
    k = bytearray(hashlib.sha512(seed).digest())
    k[0] &= 248
    k[31] &= 63
    k[31] |= 64
    return bytes(k)


waiting = {}  # request -> id of its command


def item(c):
    salt, key = bytes.fromhex(c.get('salt', '')), bytes.fromhex(c.get('key', ''))
    if c['do'] == 'put' and key:
        waiting['put', key, salt] = c['id']
        ses.dht_put_mutable_item(expanded(bytes.fromhex(c['seed'])), key, bytes.fromhex(c['value']), salt)
    elif c['do'] == 'put':
        target = ses.dht_put_immutable_item(bytes.fromhex(c['value'])).to_bytes()
        waiting['put', target] = c['id']
    elif key:
        waiting['get', key, salt] = c['id']
        ses.dht_get_mutable_item(key, salt)
    else:
        target = bytes.fromhex(c['target'])
        waiting['get', target] = c['id']
        ses.dht_get_immutable_item(lt.sha1_hash(target))


def octets(s):
    return s if isinstance(s, bytes) else s.encode('latin1', 'surrogateescape')


def found(a):
    try:
        return a.item
    except RuntimeError:
        return None  # nothing was found: the entry has no type, which the binding cannot convert


def item_alert(a):
    if isinstance(a, lt.dht_put_alert):
        target = a.target.to_bytes()
        what = ('put', target) if any(target) else ('put', octets(a.public_key), octets(a.salt))
        more = {'nodes': a.num_success, **({'target': target.hex()} if any(target) else {})}
    elif isinstance(a, lt.dht_immutable_item_alert):
        i = found(a)
        what, more = ('get', a.target.to_bytes()), {'value': i['value'].hex()} if i else {}
    elif isinstance(a, lt.dht_mutable_item_alert) and a.authoritative:
        i = found(a)
        if i:  # its value is bytes, whatever was stored
            what, more = ('get', octets(i['key']), octets(i['salt'])), {'value': octets(i['value']).hex(), 'seq': i['seq']}
        else:  # without an item, the key is not known either, but gets are sent one at a time
            what, more = next((w for w in waiting if w[0] == 'get'), None), {}
    else:
        return
    if what in waiting:
        emit(what[0], id=waiting.pop(what), **more)


sessions = [session(l) for l in C['listen']]
ses, h = sessions[0], None
emit('start')
if C.get('torrent') or C.get('magnet'):
    if C.get('torrent'):
        p = lt.add_torrent_params()
        p.ti = lt.torrent_info(C['torrent'])
    else:
        p = lt.parse_magnet_uri(C['magnet'])
    p.save_path = C['dir']
    p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if C.get('sequential'):
        p.flags |= lt.torrent_flags.sequential_download
    h = ses.add_torrent(p)
    limit(h, C)
    for a in C.get('peers') or []:
        ip, port = a.rsplit(':', 1)
        h.connect_peer((ip.strip('[]'), int(port)))
else:
    emit('ready')
known, announce = None, 0.0
while True:
    if select.select([sys.stdin], [], [], C.get('poll', 0.1))[0]:
        line = sys.stdin.readline()
        if not line:
            break
        c = json.loads(line)
        if 'do' in c:
            item(c)
        else:
            limit(h, c)
            emit('limited')
    for s in sessions:
        for a in s.pop_alerts():
            if isinstance(a, lt.metadata_received_alert):
                emit('metadata')
            elif isinstance(a, lt.torrent_finished_alert):
                emit('ready' if C.get('torrent') else 'finished')
            elif isinstance(a, (lt.dht_put_alert, lt.dht_immutable_item_alert, lt.dht_mutable_item_alert)):
                item_alert(a)
            elif a.category() & lt.alert.category_t.error_notification:
                print(a.what(), a.message(), file=sys.stderr, flush=True)
    if h is None:
        continue
    peers = sorted([f'[{p.ip[0]}]:{p.ip[1]}' if ':' in p.ip[0] else '%s:%d' % p.ip, bool(p.source & lt.peer_info.pex)]
                   for p in h.get_peer_info())
    if peers != known and not C.get('connections'):
        known = peers
        emit('peers', peers=peers)
    # libtorrent looks up peers when a torrent is added, while its table is empty, and then not for a long time.
    if C.get('dht') and time.monotonic() > announce and not (C.get('magnet') and peers):
        announce = time.monotonic() + 2
        h.force_dht_announce()
