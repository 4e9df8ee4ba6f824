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
	Torrents  int64  `json:"torrents"`        // infohashes of the store, now
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

// FleetOwners says which nodes of a fleet announce a torrent of the store.
type FleetOwners struct {
	Head
	Owners    []string `json:"owners"`         // the most important one first
	Announced bool     `json:"announced_here"` // the daemon that was asked announces it
}
