package view

import "seedbed/node"

// Listening contains an address of the node, for both TCP and UDP.
type Listening struct {
	Head
	Addr string `json:"addr"`
}

// Mapped contains an address at which peers from outside reach the node.
type Mapped struct {
	Head
	Addr   string `json:"addr"`
	Method string `json:"method"` // PCP, NAT-PMP or UPnP
	Router string `json:"router"`
	Lease  int64  `json:"lease_s"` // renewed before it ends; 0: without an end
}

// Reachability says whether others on the internet can connect to the node.
type Reachability struct {
	Head
	ReachabilityState
}

// ReachabilityState is what is known about one address family. The numbers count networks: an IPv4 /24 or
// IPv6 /48 counts once.
type ReachabilityState struct {
	Family  string `json:"family"`         // ipv4 or ipv6
	Verdict string `json:"verdict"`        // reachable, not_reachable or unknown
	TCP     string `json:"tcp"`            // the verdict on TCP alone
	UDP     string `json:"udp"`            // and on UDP, which uTP and the DHT use
	Addr    string `json:"addr,omitempty"` // HOST:PORT at which others connect to us; absent if the address is not known
	SeenBy  int    `json:"seen_by"`        // see us at that address
	// DialedBack have connected because we asked, Arrived of their own accord, and Failed report that they could not.
	DialedBack int    `json:"dialed_back"`
	Arrived    int    `json:"arrived"`
	Failed     int    `json:"failed"`
	Since      string `json:"since,omitempty"` // of the verdict, RFC 3339
	Text       string `json:"text"`            // the same in one sentence
	Hint       string `json:"hint,omitempty"`  // what to do about it
}

// NetworkChanged contains the path to the internet in one address family.
type NetworkChanged struct {
	Head
	Family    string `json:"family"`              // ipv4 or ipv6
	Addr      string `json:"addr,omitempty"`      // from which packets are sent now; absent: there is no route
	Interface string `json:"interface,omitempty"` // with addr
	Before    string `json:"before,omitempty"`    // the last address before
	Suspended int64  `json:"suspended_s,omitempty"`
}

// Added contains the link of the torrent.
type Added struct {
	Head
	Magnet string `json:"magnet"`
}

// DHT contains the number of good nodes.
type DHT struct {
	Head
	Nodes int `json:"nodes"`
}

// Announcing says whether the announces in the DHT keep up.
type Announcing struct {
	Head
	Torrents int     `json:"torrents"`
	Late     int     `json:"late"` // torrents whose last announce is over 20 minutes old
	Interval float64 `json:"interval_s"`
}

// Peers counts the peers of a torrent.
type Peers struct {
	Head
	Known     int   `json:"known"`
	Connected int   `json:"connected"`
	Banned    int   `json:"banned"`
	Dropped   Drops `json:"dropped"`
}

// Drops counts connections by how the peer ended them.
type Drops struct {
	BadData  int `json:"bad_data"`
	Protocol int `json:"protocol"`
	Slow     int `json:"slow"`
	Silent   int `json:"silent"`
}

// Metadata contains the info dictionary. Size is the size of all files, without padding.
type Metadata struct {
	Head
	Name        string `json:"name"`
	Size        int64  `json:"size"`
	Pieces      int    `json:"pieces"`
	PieceLength int64  `json:"piece_length"`
	Files       []File `json:"files"`
	Torrent     string `json:"torrent,omitempty"` // the file written by --metadata-only
}

// File is a file of a torrent.
type File struct {
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Spelled *string `json:"spelled,omitempty"` // name in the torrent, if the path differs
	Folder  bool    `json:"folder,omitempty"`
	Link    string  `json:"link,omitempty"` // target of a symbolic link; ".." is outside the torrent
}

// FirstPiece has no fields of its own.
type FirstPiece struct{ Head }

// Progress is the progress of a torrent. Have and Size are bytes of the wanted files.
type Progress struct {
	Head
	Have     int64 `json:"have"`
	Size     int64 `json:"size"`
	DownRate int64 `json:"down_rate"`
	UpRate   int64 `json:"up_rate"`
	Peers    int   `json:"peers"`
	Seeds    int   `json:"seeds"`
}

// Completed names the object store that has the files, if they were there already: they are verified when they are read.
type Completed struct {
	Head
	Store string `json:"store,omitempty"`
}

// Seeding contains the link and an address of the node.
type Seeding struct {
	Head
	Magnet string `json:"magnet"`
	Addr   string `json:"addr"`
}

// Ready has no fields of its own.
type Ready struct{ Head }

// Seeded says which seeding goal was reached, and how much was uploaded over all runs.
type Seeded struct {
	Head
	Goal     string  `json:"goal"` // ratio, idle or time
	Uploaded int64   `json:"uploaded"`
	Ratio    float64 `json:"ratio"`
}

// Streaming is a file that can be played.
type Streaming struct {
	Head
	File int    `json:"file"` // from 1, as show lists them
	Path string `json:"path"`
	Size int64  `json:"size"`
	URL  string `json:"url"`
}

// Published is about the item of a version. While Kept is 0, the item is put again.
type Published struct {
	Head
	Link  string `json:"link"`
	Seq   int64  `json:"seq"`
	Kept  int    `json:"kept"`  // nodes that returned it
	Nodes int    `json:"nodes"` // the number of closest nodes

	KeepLink string `json:"keep_link,omitempty"` // of a private publication: keeps it alive without reading it
}

// Version is a version of a publication.
type Version struct {
	Head
	Link    string `json:"link"`
	Seq     int64  `json:"seq"`
	FoundBy string `json:"found_by"` // push: a peer has sent it; poll: the DHT was asked
}

// Current is a version that is complete.
type Current struct {
	Head
	Link    string `json:"link"`
	Seq     int64  `json:"seq"`
	Dir     string `json:"dir"`
	Reused  int64  `json:"reused"`  // bytes of files that already existed
	Fetched int64  `json:"fetched"` // bytes received from peers
}

// Warning, Failed and Error contain an error and, if available, what to do about it.
type (
	Warning struct {
		Head
		Fault
	}
	Failed struct {
		Head
		Fault
	}
	Error struct {
		Head
		Fault
	}
)

// Fault is an error for the user.
type Fault struct {
	Error string `json:"error"`
	Hint  string `json:"hint"`
	// Kind is what programs can tell errors apart by; it is left out if the error has none.
	Kind node.FaultKind `json:"kind,omitempty"`
}

// FaultOf returns the object of an error. hint returns what to do about it.
func FaultOf(err error, hint func(error) string) Fault {
	return Fault{err.Error(), hint(err), node.KindOf(err)}
}

// Recovered, Removed and Missed have no fields of their own.
type (
	Recovered struct{ Head }
	Removed   struct{ Head }
	Missed    struct{ Head }
)
