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

// Spec describes a torrent to add: what to download or seed, where, and how.
type Spec struct {
	// Link or Torrent identifies the torrent; exactly one of them is set.
	Link    *magnet.Link
	Torrent *metainfo.Torrent

	// Dir is the folder that contains the torrent's file or folder; "" means the
	// current one.
	Dir string

	// Objects says that the files are objects of Config.Objects; Dir is not used. They are only read, so Seed is implied,
	// except with Upload: then what the store lacks is downloaded from peers, and written into it.
	Objects, Upload bool
	// Shared says that every node of the fleet adds this torrent of Objects, because it is in the catalogue of the store. Only its
	// owners announce it then; see Ownership.
	Shared bool
	store  string // where the store is that had the objects when the torrent was added; "" without Objects

	// Select lists file numbers, from 1, as metainfo.Info.FileNumber counts them
	// without padding. Nil means the link's so= (BEP 53), or all files without one.
	Select []int
	// All selects all files even if the link selects some, if Select is nil.
	All bool

	// Peers are HOST:PORT addresses of peers to try, in addition to x.pe in the link.
	Peers []string

	// Overwrite allows existing files to be replaced.
	Overwrite bool

	// Own says that existing files in Dir belong to the torrent, whatever is in them: they are
	// changed in place, and what is right in them is not downloaded.
	Own bool

	// Symlinks creates the symbolic links of the torrent (BEP 47), which must point to
	// places in the torrent. Otherwise they are left out, with a warning.
	Symlinks bool

	// MetadataOnly writes NAME.torrent into Dir and then ends the torrent, without a
	// download.
	MetadataOnly bool

	// Seed opens the data read-only. The torrent fails if the data is incomplete.
	Seed bool

	// ReadAhead, if not 0, downloads only what the readers of the files (OpenFile) need
	// next, up to this many bytes ahead.
	ReadAhead int64

	// Cache adds a torrent whose data is a copy for readers, such as those of a gateway: it
	// requires ReadAhead, and nothing is downloaded before it is read. Torrents does not list it,
	// it has no events, and it is removed, but not its data, when a torrent with the same infohash
	// is added.
	Cache bool

	// Verified says that the caller has just hashed the data, as Make does, so that it is
	// not hashed again.
	Verified bool

	// Persistent adds the torrent to the session: Restore adds it again, until Remove.
	Persistent bool
	// Paused adds a persistent torrent paused, until Resume.
	Paused bool
	// Labels are for the user; the node does not use them.
	Labels []string
	// Category is for the user, like Labels.
	Category string
	// FinalDir, if not "", is the folder to which the caller moves the torrent once it is complete.
	// The node keeps it on record until a move ends.
	FinalDir string
	// Naming are the names that differ from those of the torrent; nil: none.
	Naming *Naming
	// UpRate and DownRate limit this torrent, in bytes a second; 0 means the limits for
	// each torrent in Settings.
	UpRate, DownRate int64

	// Priorities are the files that are wanted more or less urgently than others, and Order says
	// which of their pieces come first.
	Priorities Priorities
	Order      Order
	// MaxPeers limits the connected peers; 0 means the limit of the node alone.
	MaxPeers int

	// Goals are the seeding goals of this torrent.
	Goals Goals

	// Prepare, if not nil, is called once the metadata is known, before the files are
	// opened. It may create files in Dir, which are hashed like all files that the resume
	// record does not prove. The torrent waits for it. If it returns an error, that is
	// reported as a warning, and Prepare is called again later.
	Prepare func(*metainfo.Info) error

	// Archive adds the torrent of an Archive; only AddArchive sets it.
	Archive bool
}

// InfoHash returns the infohash that identifies the torrent.
func (s *Spec) InfoHash() id.ID {
	switch {
	case s.Torrent != nil:
		return s.Torrent.Info.Hash
	case s.Link != nil:
		return s.Link.Hash()
	}
	return id.ID{}
}

// InfoHashV2 returns the v2 infohash (BEP 52), or zero if there is none or it is not known.
func (s *Spec) InfoHashV2() id.ID32 {
	if s.Torrent != nil {
		return s.Torrent.Info.HashV2
	}
	if s.Link == nil {
		return id.ID32{}
	}
	return s.Link.V2
}

// matches reports whether info is the info dictionary of the torrent of the spec.
func (s *Spec) matches(info *metainfo.Info) bool {
	if v2 := s.InfoHashV2(); !v2.IsZero() && v2 != info.HashV2 {
		return false
	}
	return slices.Contains(hashesOf(info), s.InfoHash())
}

// hashes returns the infohashes that are known without the metadata.
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

// hashesOf returns the infohashes of a torrent: a hybrid has two.
func hashesOf(info *metainfo.Info) []id.ID {
	list := []id.ID{info.Hash}
	if info.HasV2() && info.HasV1() {
		list = append(list, info.HashV2.Short())
	}
	return list
}

// Name returns the name to show until a better one is known.
func (s *Spec) Name() string {
	switch {
	case s.Naming != nil && s.Naming.Name != "":
		return s.Naming.Name
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
		return errors.New("Spec has neither a Link nor a Torrent")
	case s.Persistent && (s.MetadataOnly || s.ReadAhead != 0 || s.Prepare != nil):
		return errors.New("a Spec with MetadataOnly, ReadAhead or Prepare cannot be Persistent")
	case s.Cache && (s.ReadAhead == 0 || s.Persistent):
		return errors.New("a Spec with Cache needs a ReadAhead and cannot be Persistent")
	case s.Upload && (!s.Objects || s.Seed):
		return errors.New("a Spec with Upload needs Objects, and cannot have Seed")
	case s.Shared && !s.Objects:
		return errors.New("a Spec with Shared needs Objects")
	case s.Objects && (s.Select != nil || s.MetadataOnly || s.ReadAhead != 0 || s.Prepare != nil || s.FinalDir != ""):
		return errors.New("a Spec with Objects can have neither Select nor MetadataOnly, ReadAhead, Prepare or FinalDir")
	case s.Paused && !s.Persistent:
		return errors.New("a Spec that is Paused must be Persistent")
	case s.Naming.Validate() != nil:
		return s.Naming.Validate()
	case s.MaxPeers < 0:
		return usageFault(errors.New("the limit of peers is negative"))
	case s.Priorities.validate() != nil:
		return usageFault(s.Priorities.validate())
	case s.Order.validate() != nil:
		return usageFault(s.Order.validate())
	case s.Torrent == nil:
		return s.Link.Openable()
	}
	return nil
}

// warnings returns warnings about parts of the link or the torrent file that are ignored.
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
			out = append(out, fmt.Errorf("a mirror is ignored: %w", err))
		}
	}
	return out[:min(len(out), maxWarnings)]
}

// maxWarnings limits the reported warnings about a link or torrent file.
const maxWarnings = 16

// noSuchFile is the error if a file is selected that the torrent does not have.
func noSuchFile(info *metainfo.Info, number int) error {
	return &Fault{Kind: FaultSelection, hint: "seedbed show lists them by number",
		Err: fmt.Errorf("file %d was selected, but %s has %s", number, info.Name, count(info.Stored(), "file"))}
}

// files returns the selection for info: indices, or nil for all.
func (s *Spec) files(info *metainfo.Info) ([]int, error) {
	if s.Select != nil {
		out := make([]int, 0, len(s.Select))
		for _, n := range s.Select {
			i, ok := info.FileIndex(n)
			if !ok {
				return nil, noSuchFile(info, n)
			}
			out = append(out, i)
		}
		return out, nil
	}
	if s.All || s.Link == nil || len(s.Link.Select) == 0 {
		return nil, nil
	}
	// BEP 53 counts the entries of the files list. Padding counts too, as in
	// libtorrent, but cannot be selected.
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
