package view

// FleetNode is a node of a fleet, as another one sees it. The numbers are those that it has sent last: they grow from its
// start, except where they say what there is now.
type FleetNode struct {
	Head
	Name  string   `json:"name"`
	Addr  string   `json:"addr,omitempty"`       // for the other nodes of the fleet
	Addrs []string `json:"peer_addrs,omitempty"` // where peers find it, the best one first
	Self  bool     `json:"self"`                 // it is the daemon that was asked
	State string   `json:"state"`                // live, lost or other_store
	Error string   `json:"error,omitempty"`      // what is wrong with it

	Age       *int64 `json:"age_s,omitempty"` // of the numbers; absent if there are none
	Version   string `json:"version,omitempty"`
	Since     string `json:"since,omitempty"` // its start, RFC 3339
	Torrents  int64  `json:"torrents"`        // infohashes of the catalogue, now
	Owned     int64  `json:"owned"`           // of these, announced by it
	Announced int64  `json:"announced"`       // all infohashes that it announces
	Connected int64  `json:"connected"`       // peers, now
	Uploaded  int64  `json:"uploaded"`
	UpRate    int64  `json:"up_rate"`
	Hits      int64  `json:"cache_hits"`
	Misses    int64  `json:"cache_misses"`
	Cached    int64  `json:"cached"` // bytes in the cache, now
	Requests  int64  `json:"store_requests"`
	Fetched   int64  `json:"store_read"` // bytes
}

// FleetOwners says which nodes of a fleet announce a torrent of the catalogue, and what each node does for it.
type FleetOwners struct {
	Head
	Owners    []string       `json:"owners"`         // by the daemon that was asked, the most important one first
	Announced bool           `json:"announced_here"` // the daemon that was asked announces it
	Agree     bool           `json:"agree"`          // all nodes that answered name the same owners
	Uploaded  int64          `json:"uploaded"`       // by all nodes that answered, like the next two
	Requests  int64          `json:"store_requests"`
	Fetched   int64          `json:"store_read"` // bytes
	Holders   []*FleetHolder `json:"holders"`    // all nodes of the fleet, by name
}

// FleetHolder is what a node of a fleet says it does for a torrent. Only Name, Self and State are known of a node that has not
// answered. StoreRequests and StoreRead grow from its start, and Uploaded is over all runs.
type FleetHolder struct {
	Name         string   `json:"name"`
	Self         bool     `json:"self"`                      // it is the daemon that was asked
	State        string   `json:"state"`                     // answered, silent, lost or other_store
	Has          bool     `json:"has"`                       // it has the torrent, and serves it
	Owners       []string `json:"owners"`                    // by this node
	Announces    bool     `json:"announces"`                 // it keeps the torrent announced in the DHT
	LastAnnounce *int64   `json:"last_announce_s,omitempty"` // how long ago nodes of the DHT last accepted its announce; absent if none has
	Cached       int64    `json:"cached"`                    // bytes in its cache, now
	Connected    int64    `json:"connected"`                 // peers, now
	Uploaded     int64    `json:"uploaded"`
	Requests     int64    `json:"store_requests"`
	Fetched      int64    `json:"store_read"` // bytes
}
