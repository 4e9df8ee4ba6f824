package view

import (
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/mutable"
)

// Show describes the torrent of a link or a .torrent file. Fields that are unknown for a
// link are left out.
type Show struct {
	Head
	Named
	Seq *int64 `json:"seq,omitempty"` // of a version of a publication: its number
}

// Named identifies the torrent of a link or a .torrent file.
type Named struct {
	InfoHashV2  string   `json:"infohash_v2,omitempty"`
	PublicKey   string   `json:"public_key,omitempty"`
	Salt        string   `json:"salt,omitempty"`
	Secret      string   `json:"secret,omitempty"` // of the link of a private publication: read, or keep to keep it alive without reading it
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
	Warnings    []string `json:"warnings,omitempty"` // parts of the input that were ignored
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

	Versions  []NamedVersion `json:"versions,omitempty"`  // that its item names, the newest first
	Connected *int           `json:"connected,omitempty"` // peers to which the daemon that publishes it pushes new versions

	SignedBy   string           `json:"signed_by,omitempty"` // the key of the newest version, if it is not the one in the link
	Delegation *DelegationState `json:"delegation,omitempty"`
}

// DelegationState is the newest statement about who publishes besides the key in the link.
type DelegationState struct {
	Number  int64    `json:"statement"`          // its number; the next one needs a higher one
	Nodes   int      `json:"statement_nodes"`    // DHT nodes that hold it
	Keys    []string `json:"delegates"`          // keys that publish besides the one in the link
	Expires string   `json:"delegation_expires"` // RFC 3339; later versions of these keys do not count
}

// DelegationStateOf returns the object of a statement.
func DelegationStateOf(d *mutable.Delegation, number int64, nodes int) *DelegationState {
	return &DelegationState{Number: number, Nodes: nodes, Keys: keyTexts(d.Keys), Expires: d.Expiry.UTC().Format(time.RFC3339)}
}

// keyTexts returns public keys in hexadecimal.
func keyTexts(keys []id.ID32) []string {
	list := []string{}
	for _, key := range keys {
		list = append(list, key.String())
	}
	return list
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

	Delegations []KeyDelegation `json:"delegations,omitempty"` // that this machine knows, and that are by the key or name it
}

// KeyDelegation is the newest known statement of a publication, beside a key that signs it or is named by it.
type KeyDelegation struct {
	Link    string   `json:"link"`
	Number  int64    `json:"statement"`
	Keys    []string `json:"delegates"`
	Expires string   `json:"delegation_expires"` // RFC 3339
}

// KeyDelegationOf returns the object of a statement.
func KeyDelegationOf(link string, d *mutable.Delegation, number int64) KeyDelegation {
	return KeyDelegation{Link: link, Number: number, Keys: keyTexts(d.Keys), Expires: d.Expiry.UTC().Format(time.RFC3339)}
}

// DNSRecord is the TXT record that makes a domain the name of a publication.
type DNSRecord struct {
	Head
	Name  string `json:"name"`                 // of the record
	TTL   int    `json:"ttl"`                  // seconds
	Text  string `json:"text"`                 // the value, as one string
	State string `json:"state"`                // of the DNS: right, missing, other (names another publication), damaged or unknown (no answer)
	Found string `json:"found_text,omitempty"` // the text for the other publication
}

// Delegation is a statement that lets keys publish under the link of another key.
type Delegation struct {
	Head               // the infohash is that of the version that it names
	Link      string   `json:"link"`
	Number    int64    `json:"number"`  // of the statement
	Expires   string   `json:"expires"` // RFC 3339
	Keys      []string `json:"keys"`    // in hex, that publish besides the key in the link
	NewestSeq int64    `json:"seq"`     // number of the version that it names
}

// History lists the versions that were published under a key, oldest first.
type History struct {
	Head
	PublicKey string        `json:"public_key"`
	Name      string        `json:"name"`
	Master    string        `json:"master_key,omitempty"` // the key in the link, if its owner has delegated the publication
	Salt      string        `json:"salt,omitempty"`
	Path      string        `json:"path"`
	Link      string        `json:"link"`
	Target    string        `json:"target,omitempty"`    // of its item in the DHT
	Watch     float64       `json:"watch_s,omitempty"`   // interval at which a daemon watches the path
	Ended     bool          `json:"ended,omitempty"`     // no longer published
	Private   bool          `json:"private,omitempty"`   // only those who have the secret in the link can read it
	KeepLink  string        `json:"keep_link,omitempty"` // of a private publication: keeps it alive without reading it
	Versions  []PastVersion `json:"versions"`
	Connected *int          `json:"connected,omitempty"` // peers to which new versions are pushed; missing if it is not published now
	Holders   []Holder      `json:"holders,omitempty"`   // DHT nodes that hold its item
}

// Followed is a publication that a daemon follows. The infohash is that of the current version.
type Followed struct {
	Head
	Target    string  `json:"target"` // of its item in the DHT
	PublicKey string  `json:"public_key"`
	Salt      string  `json:"salt,omitempty"`
	Link      string  `json:"link"`
	Domain    string  `json:"domain,omitempty"` // the name by which it is followed
	Dir       string  `json:"dir"`
	Seq       *int64  `json:"seq,omitempty"` // of the current version
	Folder    string  `json:"current_dir,omitempty"`
	KeepAlive bool    `json:"keep_alive"`
	Poll      float64 `json:"poll_s"`
	Keep      int     `json:"keep"`      // number of earlier versions
	Connected int     `json:"connected"` // peers with which new versions are exchanged

	Stays     bool   `json:"stays,omitempty"`      // at the current version, though there may be newer ones
	NewestSeq *int64 `json:"newest_seq,omitempty"` // the highest number that is known

	SignedBy  string   `json:"signed_by,omitempty"`          // the key of the current version, if it is not the one in the link
	Delegates []string `json:"delegates,omitempty"`          // keys that publish besides the one in the link
	Expires   string   `json:"delegation_expires,omitempty"` // RFC 3339; later versions of these keys do not count

	NextSeq      *int64 `json:"next_seq,omitempty"` // of the version that is being downloaded
	NextInfoHash string `json:"next_infohash,omitempty"`
}

// Job is work that a request to a daemon has started.
type Job struct {
	Head
	Number   int64     `json:"number"`
	Kind     string    `json:"kind"`   // publish, rollback, doctor or inspect
	Status   string    `json:"status"` // running, done, failed or cancelled
	Started  string    `json:"started"`
	Done     int64     `json:"done"`  // bytes
	Total    int64     `json:"total"` // bytes; 0 if it does not count any
	Fault    *Fault    `json:"fault,omitempty"`
	Link     string    `json:"link,omitempty"`      // of publish and rollback: what is published
	KeepLink string    `json:"keep_link,omitempty"` // of a private publication: keeps it alive without reading it
	Seq      *int64    `json:"seq,omitempty"`
	Findings []Finding `json:"findings,omitempty"` // of doctor

	// Of publish and rollback: no version was made, because the newest one has this content; and the
	// session had the torrent before, so that it stays when the publication ends.
	Unchanged bool `json:"unchanged,omitempty"`
	WasShared bool `json:"was_shared,omitempty"`

	Inspection *Inspection `json:"inspection,omitempty"` // of inspect
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

	Copies *Copies `json:"copies,omitempty"` // if they were counted
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

	Values []string `json:"values,omitempty"` // of a list

	SettingForm
}

// SettingForm says which values a setting of a daemon takes, and what it does.
type SettingForm struct {
	Type     string   `json:"type,omitempty"` // size, number, ratio, duration, bool, word, list, schedule or text
	Unit     string   `json:"unit,omitempty"` // of a number without a unit
	Minimum  *float64 `json:"minimum,omitempty"`
	Maximum  *float64 `json:"maximum,omitempty"`
	Choices  []string `json:"choices,omitempty"`   // of a word, or of each value of a list
	Group    string   `json:"group,omitempty"`     // of settings that belong together
	Help     string   `json:"help,omitempty"`      // one line
	Manual   string   `json:"manual,omitempty"`    // Markdown, if it says more than help
	ReadOnly bool     `json:"read_only,omitempty"` // clients cannot change it
}
