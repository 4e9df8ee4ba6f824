package view

import "seedbed/node"

// Inspection is what is known of a torrent before it is added. Its infohash is that of the job.
type Inspection struct {
	Known       bool   `json:"has_metadata"`      // the fields up to private are set
	Expired     bool   `json:"expired,omitempty"` // it was known and is not kept any more
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	Pieces      int    `json:"pieces"`
	PieceLength int64  `json:"piece_length"`
	FileCount   int    `json:"file_count"`
	InfoHashV2  string `json:"infohash_v2,omitempty"`
	Private     bool   `json:"private,omitempty"`
	Magnet      string `json:"magnet,omitempty"`
	InSession   bool   `json:"in_session"` // the daemon has the torrent already

	Domain  string        `json:"domain,omitempty"` // the name that was given
	Search  *Search       `json:"search,omitempty"` // for the metadata
	Version *FoundVersion `json:"newest,omitempty"` // of the publication that the link names
}

// Search is what a search for metadata has done so far.
type Search struct {
	Reason       node.Reason `json:"reason"` // why it has no metadata
	Why          string      `json:"why"`    // the reason as a text
	Hint         string      `json:"hint"`   // what to do about it
	Known        int         `json:"known_peers"`
	Dialing      int         `json:"dialing"`
	Tried        int         `json:"tried"`
	Unreachable  int         `json:"unreachable"` // of those
	Connected    int         `json:"connected"`
	Offers       int         `json:"offers"`         // connections that have offered metadata
	MetadataHave int64       `json:"metadata_have"`  // bytes
	MetadataSize int64       `json:"metadata_bytes"` // 0 while no peer has sent it
}

// FoundVersion is the newest version of a publication that the DHT has.
type FoundVersion struct {
	Link        string `json:"link"`
	Target      string `json:"target"`
	PublicKey   string `json:"public_key"`
	Salt        string `json:"salt,omitempty"`
	Seq         *int64 `json:"seq,omitempty"` // left out until a version is found
	Current     string `json:"current_infohash,omitempty"`
	HolderCount int    `json:"holder_count"` // DHT nodes that hold it
	Followed    bool   `json:"followed"`     // by this daemon

	Versions []NamedVersion `json:"versions,omitempty"` // that its item names, the newest first
}
