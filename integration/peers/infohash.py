"""Prints the infohashes that libtorrent computes for folders. Each line on standard input is a JSON object:
parent, name, files ([path, size, executable, link target], paths relative to the folder), piece, kind (v1, v2
or hybrid) and out, the path of the torrent to write. Each answer is a line: the v1 and the v2 infohash."""
import json
import sys

import libtorrent as lt

kinds = {'v1': lt.create_torrent.v1_only, 'v2': lt.create_torrent.v2_only, 'hybrid': 0}
for line in sys.stdin:
    q = json.loads(line)
    files = lt.file_storage()
    for path, size, executable, link in q['files']:
        flags = 0
        if executable:
            flags |= lt.file_storage.flag_executable
        if link:
            flags |= lt.file_storage.flag_symlink
        full = q['name'] + '/' + path if path else q['name']
        files.add_file(full, size, flags, 0, link)
    t = lt.create_torrent(files, q['piece'], kinds[q['kind']] | lt.create_torrent.symlinks)
    lt.set_piece_hashes(t, q['parent'])
    encoded = lt.bencode(t.generate())
    with open(q['out'], 'wb') as f:
        f.write(encoded)
    hashes = lt.torrent_info(lt.bdecode(encoded)).info_hashes()
    print(hashes.v1, hashes.v2, flush=True)
