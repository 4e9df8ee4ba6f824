"""Peers of libtorrent in one process, each a session with the library's own choice of slots and peers: settings as one JSON
argument, commands as JSON lines on stdin, events as JSON lines on stdout. It goes when stdin closes.

Settings: torrent, and members: a list of {"ip", "dir", "up": bytes a second, "peers": list of IP:PORT}.
Commands: {"start": [numbers of members]} adds the torrent to these.
Events: listening (all sessions are), complete (its member has all data), and sent (payload bytes of its member, when they change)."""
import json, select, sys
import libtorrent as lt

C = json.loads(sys.argv[1])


def emit(event, **more):
    print(json.dumps({'event': event, **more}), flush=True)


def session(ip):
    return lt.session({
        'listen_interfaces': ip + ':6881', 'outgoing_interfaces': ip,
        'alert_mask': lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
        'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
        'enable_outgoing_utp': False, 'enable_incoming_utp': False,
        'out_enc_policy': 2, 'in_enc_policy': 2, 'aio_threads': 1, 'hashing_threads': 1})


def start(m):
    p = lt.add_torrent_params()
    p.ti = lt.torrent_info(C['torrent'])
    p.save_path = m['dir']
    # Session limits do not apply to private addresses, which have a separate peer class; a torrent's limit does.
    p.upload_limit = m['up']
    p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    h = m['session'].add_torrent(p)
    for a in m['peers']:
        ip, port = a.rsplit(':', 1)
        h.connect_peer((ip, int(port)))
    return h


members = C['members']
for m in members:
    m['session'] = session(m['ip'])
handles, sent = {}, {}
emit('listening')
while True:
    if select.select([sys.stdin], [], [], 0.1)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        for i in json.loads(line)['start']:
            handles[i] = start(members[i])
    for i, m in enumerate(members):
        for a in m['session'].pop_alerts():
            if isinstance(a, lt.torrent_finished_alert):
                emit('complete', member=i)
            elif a.category() & lt.alert.category_t.error_notification:
                print(m['ip'], a.what(), a.message(), file=sys.stderr, flush=True)
        if i in handles:
            n = handles[i].status().total_payload_upload
            if n != sent.get(i):
                sent[i] = n
                emit('sent', member=i, bytes=n)
