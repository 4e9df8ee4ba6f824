"""Makes a torrent with libtorrent: SOURCE OUT PIECE v1|v2|hybrid. Prints the v1 and the v2 infohash."""
import os, sys
import libtorrent as lt

V1_ONLY = 64  # the binding has no name for this flag
source, out, piece, kind = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
files = lt.file_storage()
lt.add_files(files, source)
t = lt.create_torrent(files, piece, {'v1': V1_ONLY, 'v2': lt.create_torrent_flags_t.v2_only, 'hybrid': 0}[kind])
lt.set_piece_hashes(t, os.path.dirname(source))
encoded = lt.bencode(t.generate())
with open(out, 'wb') as f:
    f.write(encoded)
hashes = lt.torrent_info(lt.bdecode(encoded)).info_hashes()
print(hashes.v1, hashes.v2)
