package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// DHTStatus is the state of the node in the DHT.
type DHTStatus struct {
	ID4       string         `json:"id4" doc:"The node's id over IPv4."`
	ID6       string         `json:"id6" doc:"The node's id over IPv6."`
	External4 string         `json:"external4,omitempty" doc:"The IPv4 address at which other nodes see this one."`
	External6 string         `json:"external6,omitempty" doc:"The IPv6 address at which other nodes see this one."`
	GoodNodes int            `json:"good_nodes" doc:"The number of nodes in the routing tables that have answered recently."`
	Nodes     []view.Contact `json:"nodes" doc:"The routing tables."`

	Families  []DHTFamily  `json:"families" doc:"The DHT of each address family: they are separate (BEP 32)."`
	Held      DHTHeld      `json:"held"`
	Announces DHTAnnounces `json:"announces"`
	Lookups   int          `json:"lookups" doc:"Lookups and announces that run now."`
}

// DHTFamily is the state in the DHT of one address family.
type DHTFamily struct {
	Family   string    `json:"family" doc:"ipv4 or ipv6."`
	ID       string    `json:"id"`
	External string    `json:"external,omitempty" doc:"The address at which other nodes see this one, once enough of them agree."`
	Votes    []DHTVote `json:"votes" doc:"The addresses at which other networks see this node, the one with most votes first."`
	Good     int       `json:"good_nodes"`
	Nodes    int       `json:"nodes" doc:"All nodes in the routing table."`
	Pending  int       `json:"pending" doc:"Our queries that are not answered yet."`
	Queries  uint64    `json:"queries" doc:"Queries from other nodes, since the start."`
	Sent     uint64    `json:"sent" doc:"Our queries, since the start."`
	Replies  uint64    `json:"replies" doc:"Answers to them."`
	Timeouts uint64    `json:"timeouts" doc:"Those that were not answered."`
}

// DHTVote is an address at which other networks see this node.
type DHTVote struct {
	Addr  string `json:"addr"`
	Votes int    `json:"votes" doc:"The number of networks, of the last 32 that said something."`
}

// DHTHeld is what the node stores for others, and what it keeps in the DHT itself.
type DHTHeld struct {
	Infohashes int `json:"infohashes" doc:"Infohashes for which it stores peers."`
	Peers      int `json:"peers"`
	Items      int `json:"items" doc:"Items of others (BEP 44)."`
	Kept       int `json:"kept_items" doc:"Items of publications and follows that this node republishes."`
}

// DHTAnnounces is the state of the announces of the torrents.
type DHTAnnounces struct {
	Torrents  int     `json:"torrents" doc:"Torrents that are kept announced."`
	Late      int     `json:"late" doc:"Those whose last announce is more than 20 minutes old."`
	Never     int     `json:"never" doc:"Those that were not announced yet, in the family with more of them."`
	Now       int     `json:"now" doc:"Announces that run."`
	Interval  float64 `json:"interval_s" doc:"The time in which all torrents are announced once."`
	Stretched bool    `json:"stretched" doc:"That is more than 20 minutes, because the rate is too low."`
}

type lookupInput struct {
	Body struct {
		InfoHash string `json:"infohash" minLength:"1" maxLength:"262144" doc:"An infohash, or a magnet link with one."`
		Scrape   bool   `json:"scrape,omitempty" doc:"Estimate how many seeds and peers there are (BEP 33)."`
	}
}

// DHTLookup is the summary of a lookup.
type DHTLookup view.Lookup

// Peers is the result of a lookup of peers.
type Peers struct {
	Addrs     []string     `json:"addrs" doc:"HOST:PORT of the peers, each once."`
	FirstPeer float64      `json:"first_peer_ms,omitempty" doc:"When the first peer was found."`
	Scrape    *view.Scrape `json:"scrape,omitempty" doc:"The estimate, if it was asked for."`
	Lookup    DHTLookup    `json:"lookup"`
}

type itemInput struct {
	Body struct {
		Target string `json:"target" minLength:"40" maxLength:"64" doc:"The target of the item, of 40 hex digits, or the public key of a mutable item, of 64."`
		Salt   string `json:"salt,omitempty" maxLength:"64" doc:"The salt of a mutable item."`
	}
}

// FoundItem is the result of a lookup of an item.
type FoundItem struct {
	Item     *view.Item    `json:"item,omitempty" doc:"Left out if no node holds it."`
	Holders  []view.Holder `json:"holders" doc:"The nodes that hold it, or an older version."`
	Have     int           `json:"have" doc:"The number of nodes that hold it."`
	Older    int           `json:"older" doc:"The number of nodes that hold an older version."`
	Rejected view.Rejected `json:"rejected" doc:"The number of items that were rejected."`
	Forked   bool          `json:"forked,omitempty" doc:"Two different items are signed with the number of the newest one."`
	Lookup   DHTLookup     `json:"lookup"`
}

// lookupWithin limits a lookup in the DHT.
const lookupWithin = 30 * time.Second

func (a *api) addDHT(mux *http.ServeMux) {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/dht", "get-dht", "Show the node's state in the DHT and its routing tables", token.Read),
		func(context.Context, *struct{}) (*struct{ Body DHTStatus }, error) {
			d, err := a.Node().DHT()
			if err != nil {
				return nil, a.problem(err)
			}
			return &struct{ Body DHTStatus }{a.dhtStatus(d)}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, "/v1/dht/lookup", "find-peers", "Find the peers of an infohash", token.Add), a.findPeers)
	huma.Register(a.huma, operation(http.MethodPost, "/v1/dht/get", "get-item", "Find an item (BEP 44)", token.Add), a.getItem)
	huma.Register(a.huma, operation(http.MethodPost, "/v1/dht/put", "put-item", "Store an item (BEP 44), signed with a key of the daemon's machine or immutable", token.Admin), a.putItem)
	a.addTrace(mux)
}

func (a *api) dhtStatus(d *dht.DHT) DHTStatus {
	stats := d.Stats()
	s := DHTStatus{ID4: d.ID(false).String(), ID6: d.ID(true).String(), Lookups: stats.Lookups}
	if ip := d.External(false); ip.IsValid() {
		s.External4 = ip.String()
	}
	if ip := d.External(true); ip.IsValid() {
		s.External6 = ip.String()
	}
	s.Nodes, s.GoodNodes = view.TableOf(d.Nodes())
	s.Families = []DHTFamily{}
	for i, f := range []dht.FamilyStats{stats.V4, stats.V6} {
		if v6 := i == 1; !f.ID.IsZero() {
			s.Families = append(s.Families, familyOf(&f, v6, d.Votes(v6)))
		}
	}
	held := d.Held()
	s.Held = DHTHeld{Infohashes: held.Infohashes, Peers: held.Peers, Items: held.Items}
	if items, err := a.Node().Items(); err == nil {
		s.Held.Kept = items.Kept()
	}
	n := a.Node().Announcing()
	s.Announces = DHTAnnounces{Torrents: n.Torrents, Late: n.Late, Never: max(n.V4.Unannounced, n.V6.Unannounced), Now: n.V4.Visiting + n.V6.Visiting,
		Interval: n.Interval.Seconds(), Stretched: n.Stretched}
	return s
}

func familyOf(f *dht.FamilyStats, v6 bool, votes map[netip.Addr]int) DHTFamily {
	o := DHTFamily{Family: view.FamilyName(v6), ID: f.ID.String(), Votes: []DHTVote{}, Good: f.Good, Nodes: f.Nodes, Pending: f.Pending,
		Queries: f.Queries, Sent: f.Out, Replies: f.Replies, Timeouts: f.Timeouts}
	if f.External.IsValid() {
		o.External = f.External.String()
	}
	for addr, n := range votes {
		o.Votes = append(o.Votes, DHTVote{addr.String(), n})
	}
	slices.SortFunc(o.Votes, func(a, b DHTVote) int { return cmp.Or(cmp.Compare(b.Votes, a.Votes), cmp.Compare(a.Addr, b.Addr)) })
	return o
}

func (a *api) findPeers(ctx context.Context, in *lookupInput) (*struct{ Body Peers }, error) {
	d, err := a.Node().DHT()
	if err != nil {
		return nil, a.problem(err)
	}
	link, err := magnet.ParseBare(in.Body.InfoHash)
	if err == nil {
		err = link.Openable()
	}
	if err != nil {
		return nil, a.problem(node.NewFault(node.FaultUsage, err, ""))
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	out := Peers{Addrs: []string{}}
	r, err := d.GetPeers(ctx, link.Hash(), in.Body.Scrape, func(peers []netip.AddrPort) {
		for _, p := range peers {
			out.Addrs = append(out.Addrs, p.String())
		}
	})
	if err != nil && r.Answered == 0 {
		return nil, a.problem(err)
	}
	out.FirstPeer, out.Lookup = view.Millis(r.FirstPeer), DHTLookup(view.LookupOf(&r.Report))
	if in.Body.Scrape {
		out.Scrape = view.ScrapeOf(&r.Scrape)
	}
	return &struct{ Body Peers }{out}, nil
}

func (a *api) getItem(ctx context.Context, in *itemInput) (*struct{ Body FoundItem }, error) {
	items, err := a.Node().Items()
	if err != nil {
		return nil, a.problem(err)
	}
	target, err := id.ParseHex(in.Body.Target)
	if err != nil {
		key, e := id.ParseHex32(in.Body.Target)
		if e != nil {
			return nil, a.problem(node.NewFault(node.FaultUsage, fmt.Errorf("%q is neither a target of 40 hex digits nor a public key of 64", in.Body.Target), ""))
		}
		target = dht.ItemTarget(key, []byte(in.Body.Salt))
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	g, err := items.Get(ctx, target, []byte(in.Body.Salt), nil)
	if err != nil && g.Item == nil {
		return nil, a.problem(err)
	}
	return &struct{ Body FoundItem }{FoundItem{view.ItemOf(g.Item), view.HoldersOf(&g), g.Have, g.Older, view.RejectedOf(&g), g.Forked, DHTLookup(view.LookupOf(&g.Report))}}, nil
}
