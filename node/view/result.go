package view

// Show describes the torrent of a link or a .torrent file. Fields that are unknown for a
// link are left out.
type Show struct {
	Head
	Named
}

// Named identifies the torrent of a link or a .torrent file.
type Named struct {
	InfoHashV2  string   `json:"infohash_v2,omitempty"`
	PublicKey   string   `json:"public_key,omitempty"`
	Salt        string   `json:"salt,omitempty"`
	Name        string   `json:"name"`
	Spelled     string   `json:"spelled,omitempty"` // the name in the torrent, if it differs
	Size        *int64   `json:"size,omitempty"`
	PieceLength int64    `json:"piece_length,omitempty"`
	Pieces      *int     `json:"pieces,omitempty"`
	Private     *bool    `json:"private,omitempty"`
	Files       []File   `json:"files,omitempty"`
	PeerHints   []string `json:"peer_hints,omitempty"` // x.pe
	Select      string   `json:"select,omitempty"`     // in the form that --select takes
	Trackers    []string `json:"trackers,omitempty"`
	WebSeeds    []string `json:"web_seeds,omitempty"`
	Comment     string   `json:"comment,omitempty"`
	Magnet      string   `json:"magnet"`
	Warnings    []string `json:"warnings,omitempty"` // what was ignored
}

// Create describes a new .torrent file.
type Create struct {
	Head
	Torrent string `json:"torrent"` // the path of the file
	Named
}

// Publication is Show for a link with a key, with the results from the DHT.
type Publication struct {
	Head
	Named
	Found     bool     `json:"found"`
	Seq       *int64   `json:"seq,omitempty"`
	Current   string   `json:"current_infohash,omitempty"`
	Signature string   `json:"signature,omitempty"` // valid, or bad if only bad ones were found
	Forked    bool     `json:"forked,omitempty"`
	Target    string   `json:"target"`
	Holders   []Holder `json:"holders"`
	Asked     int      `json:"asked"`
	Answered  int      `json:"answered"`
}

// Holder is a node that holds an item of the publication.
type Holder struct {
	Contact
	Seq   int64  `json:"seq"`
	State string `json:"state"` // newest, older, or bad
}

// Check is the result of checking the files on disk.
type Check struct {
	Head
	Name       string    `json:"name"`
	Size       int64     `json:"size"`
	Pieces     int       `json:"pieces"`
	GoodPieces int       `json:"good_pieces"`
	Complete   bool      `json:"complete"`
	Bad        []BadFile `json:"bad,omitempty"`
}

// BadFile is a file that does not match the torrent.
type BadFile struct {
	Path       string `json:"path"`
	Size       int64  `json:"size"`
	SizeOnDisk int64  `json:"size_on_disk"` // -1: it does not exist
	BadPieces  int    `json:"bad_pieces"`
	Pieces     int    `json:"pieces"`
	Message    string `json:"message"`
}

// Key is a key for publishing.
type Key struct {
	Head
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
}

// History lists the versions that were published under a key, oldest first.
type History struct {
	Head
	PublicKey string        `json:"public_key"`
	Name      string        `json:"name"`
	Salt      string        `json:"salt,omitempty"`
	Path      string        `json:"path"`
	Link      string        `json:"link"`
	Versions  []PastVersion `json:"versions"`
}

// PastVersion is a version that was published.
type PastVersion struct {
	Seq        int64  `json:"seq"`
	InfoHash   string `json:"infohash"`
	InfoHashV2 string `json:"infohash_v2,omitempty"`
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	FileCount  int    `json:"file_count"`
	Time       string `json:"time"` // when it was signed
}

// Program is the version of the program.
type Program struct {
	Head
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// Step is a step of the demo.
type Step struct {
	Head
	Number int    `json:"number"`
	Text   string `json:"text"`
}

// Finding is the result of one doctor check.
type Finding struct {
	Head
	Step    string         `json:"step"`
	What    string         `json:"what,omitempty"`
	Verdict string         `json:"verdict"` // fine, notice, or bad
	Text    string         `json:"text"`
	Advice  string         `json:"advice,omitempty"`
	Took    float64        `json:"took_ms,omitempty"`
	Data    map[string]any `json:"data,omitempty"` // the fields differ between checks
}

// RolledBack is an earlier version that was published again.
type RolledBack struct {
	Head
	Link    string `json:"link"`
	Seq     int64  `json:"seq"`      // its new number
	FromSeq int64  `json:"from_seq"` // its earlier number
}

// Setting is a setting of a node.
type Setting struct {
	Head
	Setting string `json:"setting"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Source  string `json:"source"` // of the value
	Env     string `json:"env"`    // the variable that sets it
	Live    bool   `json:"live"`   // it can change while a node runs
}
