package view

// Contact is what a command knows about a DHT node.
type Contact struct {
	ID       string   `json:"id,omitempty"`
	Addr     string   `json:"addr"`
	Bits     *int     `json:"bits,omitempty"` // leading bits that its id shares with the target
	RTT      float64  `json:"rtt_ms,omitempty"`
	Client   string   `json:"client,omitempty"`
	External string   `json:"external,omitempty"` // our address, as the node sees it
	Secure   bool     `json:"secure"`             // its id matches its address (BEP 42)
	Good     *bool    `json:"good,omitempty"`     // it answered recently
	Silent   *float64 `json:"silent_s,omitempty"` // time since its last answer
	Family   string   `json:"family,omitempty"`   // ipv4 or ipv6
	Took     *bool    `json:"took,omitempty"`     // it accepted the announce or the item
	GaveBack *bool    `json:"gave_back,omitempty"`
	Code     int      `json:"code,omitempty"` // of the node's error
	Error    string   `json:"error,omitempty"`
	Samples  *int     `json:"samples,omitempty"`
	Num      *int64   `json:"num,omitempty"` // number of infohashes for which it stores peers
	Interval *float64 `json:"interval_s,omitempty"`
}

// Lookup is the summary of a DHT lookup.
type Lookup struct {
	Target   string    `json:"target,omitempty"`
	Asked    int       `json:"asked"`
	Answered int       `json:"answered"`
	Failed   int       `json:"failed"`
	First    float64   `json:"first_answer_ms"`
	Took     float64   `json:"took_ms"`
	Bits     *int      `json:"closest_bits,omitempty"`
	Closest  []Contact `json:"closest"`
}

// Ping is the reply of a node, or its error.
type Ping struct {
	Head
	Contact
}

// FindNode is a lookup of nodes.
type FindNode struct {
	Head
	Lookup
}

// Found lists addresses of peers that were not in an earlier Found.
type Found struct {
	Head
	Addrs []string `json:"addrs"`
}

// GetPeers is a lookup of peers.
type GetPeers struct {
	Head
	Lookup
	Peers     int     `json:"peers"`
	FirstPeer float64 `json:"first_peer_ms,omitempty"`
	Scrape    *Scrape `json:"scrape,omitempty"`
}

// Scrape estimates the size of a swarm (BEP 33).
type Scrape struct {
	Seeds       int `json:"seeds"`
	Peers       int `json:"peers"`
	Filters     int `json:"filters"`
	Implausible int `json:"implausible"` // filters that were left out
}

// Announce is the result of an announce.
type Announce struct {
	Head
	Lookup
	Peers     int       `json:"peers"`
	FirstPeer float64   `json:"first_peer_ms,omitempty"`
	Port      uint16    `json:"port"`
	Accepted  int       `json:"accepted"` // nodes that accepted it
	Contacts  []Contact `json:"contacts"`
}

// Item is what a node stores under a target (BEP 44).
type Item struct {
	Mutable bool   `json:"mutable"`
	Key     string `json:"key,omitempty"`
	Salt    string `json:"salt,omitempty"`
	Seq     *int64 `json:"seq,omitempty"`
	Text    string `json:"text,omitempty"` // of a value that is a string of UTF-8
	Value   string `json:"bencoded"`       // the encoded value in base64
	Sig     string `json:"signature,omitempty"`
}

// Get is a lookup of an item.
type Get struct {
	Head
	Lookup
	Item     *Item    `json:"item,omitempty"`
	Have     int      `json:"have"`  // nodes that have it
	Older    int      `json:"older"` // nodes that have an older version
	Rejected Rejected `json:"rejected"`
}

// Rejected counts items that did not match the query.
type Rejected struct {
	Oversized int `json:"oversized"`
	WrongHash int `json:"wrong_hash"`
	Unsigned  int `json:"bad_signature"`
}

// Put is the result of storing an item.
type Put struct {
	Head
	Lookup
	Item     *Item     `json:"item"`
	Accepted int       `json:"accepted"` // nodes that accepted it
	Kept     int       `json:"kept"`     // nodes that returned it afterwards
	All      float64   `json:"all_ms"`
	Contacts []Contact `json:"contacts"`
}

// Nodes is the routing table.
type Nodes struct {
	Head
	Saved     int       `json:"saved"` // by an earlier run
	GoodNodes int       `json:"good_nodes"`
	Took      float64   `json:"took_ms"`
	Contacts  []Contact `json:"contacts"`
}

// Sample lists infohashes for which nodes store peers (BEP 51).
type Sample struct {
	Head
	Lookup
	InfoHashes []string  `json:"infohashes"`
	Contacts   []Contact `json:"contacts"`
}

// Metrics contains the address of the metrics.
type Metrics struct {
	Head
	Addr string `json:"addr"`
}

// Status and Stopped are the counters of a bootstrap node since its start.
type (
	Status struct {
		Head
		Bootstrap
	}
	Stopped struct {
		Head
		Bootstrap
	}
)

// Bootstrap is the state of a bootstrap node.
type Bootstrap struct {
	Nodes4   int    `json:"nodes4"`
	Nodes6   int    `json:"nodes6"`
	Waiting  int    `json:"waiting"` // nodes that are not verified yet
	Queries  uint64 `json:"answered_queries"`
	Dropped  uint64 `json:"dropped_packets"`
	Pinged   uint64 `json:"pinged"`
	Verified uint64 `json:"verified"`
	InBytes  uint64 `json:"in_bytes"`
	OutBytes uint64 `json:"out_bytes"`
}
