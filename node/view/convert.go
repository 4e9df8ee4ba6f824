package view

import (
	"strings"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// NewHead returns an envelope about a torrent, or about none if the infohash is zero.
func NewHead(torrent id.ID, at time.Time) Head {
	h := Head{Time: at.Format(time.RFC3339Nano)}
	if !torrent.IsZero() {
		h.InfoHash = torrent.String()
	}
	return h
}

// Event returns the object of an event. hint returns what to do about an error.
func Event(e *node.Event, hint func(error) string) Object {
	h := NewHead(e.InfoHash, e.Time)
	p := e.Publication
	switch e.Kind {
	case node.Listening:
		return &Listening{h, e.Addr}
	case node.Added:
		return &Added{h, e.Magnet}
	case node.Metadata:
		return &Metadata{h, e.Info.Name, e.Info.Payload(), e.Info.NumPieces(), e.Info.PieceLength, Files(e.Info), e.Path}
	case node.FirstPiece:
		return &FirstPiece{h}
	case node.Complete:
		return &Completed{h}
	case node.Seeding:
		return &Seeding{h, e.Magnet, e.Addr}
	case node.Seeded:
		return &Seeded{h, e.Uploaded, e.Ratio}
	case node.Warning:
		return &Warning{h, Fault{e.Err.Error(), hint(e.Err)}}
	case node.Recovered:
		return &Recovered{h}
	case node.Failed:
		return &Failed{h, Fault{e.Err.Error(), hint(e.Err)}}
	case node.Removed:
		return &Removed{h}
	case node.PublishedItem:
		return &Published{h, p.Link, p.Seq, p.Kept, p.Nodes}
	case node.FoundVersion:
		return &Version{h, p.Link, p.Seq}
	case node.SwitchedVersion:
		return &Current{h, p.Link, p.Seq, p.Dir, p.Reused, p.Fetched}
	case node.Missed:
		return &Missed{h}
	}
	return nil
}

// PeersOf returns the counts of a torrent's peers.
func PeersOf(s *node.Snapshot) Peers {
	return Peers{Known: s.Known, Connected: s.Connected, Banned: s.Banned, Dropped: Drops(s.Dropped)}
}

// ProgressOf returns the progress of a torrent.
func ProgressOf(s *node.Snapshot) Progress {
	return Progress{Have: s.HaveWanted, Size: s.Wanted, DownRate: int64(s.DownRate), UpRate: int64(s.UpRate), Peers: s.Connected, Seeds: s.Seeds}
}

// Files lists the files of a torrent by their paths in it, with slashes. Padding (BEP 47) is
// left out, so that file number n is the nth in the list.
func Files(info *metainfo.Info) []File {
	out := make([]File, 0, info.Stored())
	for i := range info.Files {
		if f := &info.Files[i]; !f.Pad {
			out = append(out, newFile(f))
		}
	}
	return out
}

func newFile(f *metainfo.File) File {
	file := File{Path: strings.Join(f.Path, "/"), Size: f.Length, Folder: f.Folder, Link: strings.Join(f.Symlink, "/")}
	if f.Spelled != nil {
		spelled := strings.Join(f.Spelled, "/")
		file.Spelled = &spelled
	}
	if f.Symlink != nil && file.Link == "" {
		file.Link = ".."
	}
	return file
}
