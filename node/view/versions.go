package view

import (
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
)

// NamedVersion is a version that the item of a publication names.
type NamedVersion struct {
	Seq      int64  `json:"seq"`
	InfoHash string `json:"infohash"`
	Time     string `json:"time,omitempty"` // when it was signed, in RFC 3339
	Folder   string `json:"dir,omitempty"`  // contains its file or folder on this machine, if it is there
	Current  bool   `json:"current,omitempty"`

	Copies *Copies `json:"copies,omitempty"` // if they were counted
}

// NamedVersions returns the versions that the item of a publication with the number seq names, the
// newest first.
func NamedVersions(seq int64, v *mutable.Version) []NamedVersion {
	list := []NamedVersion{{Seq: seq, InfoHash: v.InfoHash.String(), Time: signed(v.Signed)}}
	for _, e := range v.Earlier {
		list = append(list, NamedVersion{Seq: e.Seq, InfoHash: e.InfoHash.String(), Time: signed(e.Time)})
	}
	return list
}

func signed(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// FollowHistory lists the versions of a followed publication, the newest first.
type FollowHistory struct {
	Head
	Link     string         `json:"link"`
	Target   string         `json:"target"` // of its item in the DHT
	Dir      string         `json:"dir"`
	Versions []NamedVersion `json:"versions"`
}

// FileChange is a file that differs between two versions.
type FileChange struct {
	Change  string `json:"change" enum:"added,removed,changed,unknown,renamed" doc:"unknown means that the size is the same and that the hashes do not say whether the content is: two files share a piece, or the versions have other formats or piece lengths."`
	Path    string `json:"path"`
	From    string `json:"from,omitempty" doc:"The path in the earlier version if it was renamed."`
	OldSize int64  `json:"old_size" doc:"Bytes; 0 if it was added."`
	Size    int64  `json:"size" doc:"Bytes; 0 if it was removed."`
}

// VersionDiff is how two versions differ. It is made from their metadata alone.
type VersionDiff struct {
	From    int64        `json:"from"`
	To      int64        `json:"to"`
	Files   []FileChange `json:"files" doc:"Sorted by path."`
	More    bool         `json:"more" doc:"There are more files than the limit."`
	Added   int          `json:"added"`
	Removed int          `json:"removed"`
	Changed int          `json:"changed"`
	Unknown int          `json:"unknown"`
	Renamed int          `json:"renamed"`
	Same    int          `json:"same"`
	OldSize int64        `json:"old_size" doc:"Of all files."`
	Size    int64        `json:"size" doc:"Of all files."`
	Fetch   int64        `json:"fetch" doc:"How many bytes are in pieces that the earlier version does not have. A follower downloads at most these."`
}

// Difference is how two versions of a publication differ.
type Difference struct {
	Head
	FromSeq  int64        `json:"from_seq"`
	ToSeq    int64        `json:"to_seq"`
	Changes  []FileChange `json:"changes"`  // sorted by path
	Unlisted bool         `json:"unlisted"` // there are more changes
	Same     int          `json:"same_count"`
	OldSize  int64        `json:"old_size"` // of all files
	Size     int64        `json:"size"`     // of all files
	Fetch    int64        `json:"fetch"`    // bytes in pieces that the earlier version does not have
}

// DifferenceOf returns the object of a difference.
func DifferenceOf(d *VersionDiff) *Difference {
	return &Difference{FromSeq: d.From, ToSeq: d.To, Changes: d.Files, Unlisted: d.More, Same: d.Same, OldSize: d.OldSize, Size: d.Size, Fetch: d.Fetch}
}

// DiffOf compares two versions; the result has at most limit files.
func DiffOf(from, to int64, before, after *metainfo.Info, limit int) VersionDiff {
	changes, same := metainfo.Diff(before, after)
	d := VersionDiff{From: from, To: to, Files: []FileChange{}, Same: same, OldSize: before.Payload(), Size: after.Payload(),
		More: len(changes) > limit, Fetch: metainfo.FetchSize(before, after)}
	for _, c := range changes {
		switch c.Kind {
		case metainfo.FileAdded:
			d.Added++
		case metainfo.FileRemoved:
			d.Removed++
		case metainfo.FileChanged:
			d.Changed++
		case metainfo.FileUnknown:
			d.Unknown++
		case metainfo.FileRenamed:
			d.Renamed++
		}
	}
	for _, c := range changes[:min(len(changes), limit)] {
		d.Files = append(d.Files, FileChange{c.Kind.String(), c.Path, c.From, c.Old, c.New})
	}
	return d
}
