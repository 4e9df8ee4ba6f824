package view

// Pin is a link whose content a daemon keeps alive. The infohash is that of what it holds, or of
// what it fetches.
type Pin struct {
	Head
	ID     string   `json:"id"` // the target of the item in the DHT, or the infohash
	Link   string   `json:"link"`
	Name   string   `json:"name,omitempty"`
	Dir    string   `json:"dir"`
	Added  string   `json:"added"`           // RFC 3339
	State  string   `json:"state"`           // searching, fetching, held, over_quota, elsewhere or failed
	Error  string   `json:"error,omitempty"` // why its newest version is not held
	Size   int64    `json:"size"`            // that counts towards the quotas
	Quota  int64    `json:"quota,omitempty"` // of one version
	Own    bool     `json:"own"`             // pinned by the user
	Lists  []string `json:"lists,omitempty"` // the ids of the lists that name it
	Seq    *int64   `json:"seq,omitempty"`   // of the version that it holds
	Newest *int64   `json:"newest_seq,omitempty"`
}

// PinList is a list of pins that a daemon subscribes to.
type PinList struct {
	Head
	ID      string `json:"id"` // the target of the item in the DHT
	Link    string `json:"link"`
	Seq     *int64 `json:"seq,omitempty"`     // of the version whose pins are held
	Quota   int64  `json:"quota"`             // of all its pins together
	Size    int64  `json:"size"`              // of all its pins together
	Max     int    `json:"max"`               // the largest number of its pins
	Named   int    `json:"named"`             // links in it
	Pins    int    `json:"pins"`              // of these, held
	Skipped int    `json:"skipped,omitempty"` // lines that cannot be used
	Error   string `json:"error,omitempty"`   // why its newest version is not used
}
