package view

// Catalogue is what a daemon shares of the catalogue of its object store.
type Catalogue struct {
	Head
	Store    string `json:"store"`              // where the torrent files are
	Listed   string `json:"listed,omitempty"`   // RFC 3339: when it was last listed to the end
	Objects  int    `json:"objects"`            // torrent files in the store, as far as they are known
	Torrents int    `json:"torrents"`           // of these, shared as torrents of the catalogue
	Refused  int    `json:"refused,omitempty"`  // objects that are no torrents that can be shared
	LeftOut  int    `json:"left_out,omitempty"` // objects for which there is no room
	Absent   int    `json:"absent,omitempty"`   // objects that were not listed, and are not given up yet
	Error    string `json:"error,omitempty"`    // why it cannot be listed
}
