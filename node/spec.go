package node

import (
	"errors"
	"fmt"
	"slices"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/webseed"
)

// Spec is a torrent to take on: what, where to, and how.
type Spec struct {
	// Link or Torrent says what; one of them is set.
	Link    *magnet.Link
	Torrent *metainfo.Torrent

	// Dir is the folder that the torrent's file or folder is in; "" is the
	// current one.
	Dir string

	// Select are numbers of files, from 1 as metainfo.Info.FileNumber gives them:
	// padding has none. nil is the link's so= (BEP 53), else all.
	Select []int
	// All wants all files, whatever the link selects, if Select is nil.
	All bool

	// Peers are HOST:PORT addresses to try besides the link's x.pe.
	Peers []string

	// Overwrite lets files that are in the way be replaced.
	Overwrite bool

	// Symlinks lets symbolic links be made (BEP 47), which lead to places in the
	// torrent. Otherwise they are left out, and that is told.
	Symlinks bool

	// MetadataOnly writes NAME.torrent into Dir and ends there.
	MetadataOnly bool

	// Seed says that the data is there: it is opened read-only, and when it
	// turns out not to be whole the torrent fails.
	Seed bool

	// ReadAhead, if not 0, says that the torrent is played: it fetches nothing but
	// what comes next for those who read its files (OpenFile), so many bytes far.
	ReadAhead int64

	// Verified says that the caller has just hashed the data, as Make does, so that
	// it need not be hashed again.
	Verified bool

	// Persistent makes the torrent part of the session: Restore adds it again, until Remove.
	Persistent bool
	// Paused says that a persistent torrent waits for Resume.
	Paused bool
	// Labels are for the user, and mean nothing to the node.
	Labels []string
	// UpRate and DownRate limit this torrent, in bytes a second; 0 is what Settings say of
	// each torrent.
	UpRate, DownRate int64

	// Prepare, if not nil, is called once the metadata is known, before the download
	// folder is opened. It may put files there: they are hashed like all others that
	// the resume record does not prove. The torrent waits while it runs. An error is
	// reported as a warning, and Prepare is called again later.
	Prepare func(*metainfo.Info) error

	hash id.ID // of a torrent of the session whose metadata is read when it starts
}

// InfoHash is what the torrent is known by.
func (s *Spec) InfoHash() id.ID {
	switch {
	case s.Torrent != nil:
		return s.Torrent.Info.Hash
	case s.Link != nil:
		return s.Link.Hash()
	}
	return s.hash
}

// InfoHashV2 is the infohash of BEP 52; zero if there is none, or it is not known.
func (s *Spec) InfoHashV2() id.ID32 {
	if s.Torrent != nil {
		return s.Torrent.Info.HashV2
	}
	if s.Link == nil {
		return id.ID32{}
	}
	return s.Link.V2
}

// names reports whether info is what the spec asks for.
func (s *Spec) names(info *metainfo.Info) bool {
	if v2 := s.InfoHashV2(); !v2.IsZero() && v2 != info.HashV2 {
		return false
	}
	return slices.Contains(hashesOf(info), s.InfoHash())
}

// hashes are the infohashes that are known before the metadata is.
func (s *Spec) hashes() []id.ID {
	if s.Torrent != nil {
		return hashesOf(s.Torrent.Info)
	}
	list := []id.ID{s.InfoHash()}
	if v2 := s.InfoHashV2(); !v2.IsZero() && v2.Short() != list[0] {
		list = append(list, v2.Short())
	}
	return list
}

// hashesOf are the infohashes that a torrent's swarms go by: a hybrid has two.
func hashesOf(info *metainfo.Info) []id.ID {
	list := []id.ID{info.Hash}
	if info.HasV2() && info.HasV1() {
		list = append(list, info.HashV2.Short())
	}
	return list
}

// Name is what to call the torrent while nothing better is known.
func (s *Spec) Name() string {
	switch {
	case s.Torrent != nil:
		return s.Torrent.Info.Name
	case s.Link != nil && s.Link.Name != "":
		return s.Link.Name
	}
	return s.InfoHash().String()
}

func (s *Spec) validate() error {
	switch {
	case s.Torrent == nil && s.Link == nil:
		return errors.New("neither a link nor a torrent was given")
	case s.Persistent && (s.MetadataOnly || s.ReadAhead != 0 || s.Prepare != nil):
		return errors.New("what fetches metadata only, is played or is prepared cannot be kept in the session")
	case s.Paused && !s.Persistent:
		return errors.New("only a torrent of the session can be added paused")
	case s.Torrent == nil:
		return s.Link.Openable()
	}
	return nil
}

// warnings say what of the link or the torrent file was passed over.
func (s *Spec) warnings() (out []error) {
	var mirrors []string
	if s.Link != nil {
		out, mirrors = append(out, s.Link.Warnings...), append(mirrors, s.Link.WebSeeds...)
	}
	if s.Torrent != nil {
		out, mirrors = append(out, s.Torrent.Warnings...), append(mirrors, s.Torrent.WebSeeds...)
	}
	for _, u := range mirrors {
		if err := webseed.CheckURL(u); err != nil {
			out = append(out, fmt.Errorf("a mirror is passed over: %w", err))
		}
	}
	return out[:min(len(out), maxWarnings)]
}

// maxWarnings of a link or torrent file are reported.
const maxWarnings = 16

// files is the selection for info: indices, or nil for all.
func (s *Spec) files(info *metainfo.Info) ([]int, error) {
	if s.Select != nil {
		out := make([]int, 0, len(s.Select))
		for _, n := range s.Select {
			i, ok := info.FileIndex(n)
			if !ok {
				return nil, &Fault{Kind: FaultSelection, hint: "seedbed show lists them by number",
					Err: fmt.Errorf("file %d was selected and %s has %s", n, info.Name, count(info.Stored(), "file"))}
			}
			out = append(out, i)
		}
		return out, nil
	}
	if s.All || s.Link == nil || len(s.Link.Select) == 0 {
		return nil, nil
	}
	// BEP 53 counts the entries of the files list. Padding is among them, as
	// libtorrent counts too; nobody can want it.
	var out []int
	for _, r := range s.Link.Select {
		for i := int64(r.First); i <= int64(r.Last) && i < int64(len(info.Files)); i++ {
			if !info.Files[i].Pad {
				out = append(out, int(i))
			}
		}
	}
	if out == nil {
		return nil, &Fault{Kind: FaultSelection, hint: "choose with --select; seedbed show lists them by number",
			Err: fmt.Errorf("the link selects files that %s does not have: it has %s", info.Name, count(info.Stored(), "file"))}
	}
	return out, nil
}
