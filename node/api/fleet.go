package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/fleet"
	"seedbed/node/view"
)

// Fleet is the fleet of nodes that share the object store of the daemon.
type Fleet struct {
	Name     string            `json:"name" doc:"The name of this node."`
	Nodes    []*view.FleetNode `json:"nodes" doc:"All nodes, by name."`
	Settling bool              `json:"settling" doc:"Nodes have joined or left, and the torrents are divided anew within seconds."`
	Error    string            `json:"error,omitempty" doc:"Why none of the nodes of --fleet can be reached."`
}

// FleetPath is the path parameter of operations on a torrent of the fleet.
type FleetPath struct {
	InfoHash string `path:"infohash" minLength:"40" maxLength:"40" doc:"The v1 infohash, or the truncated v2 one, in hex."`
}

func (a *api) addFleet() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/fleet", "get-fleet", "List the nodes of the fleet", token.Read), a.getFleet)
	huma.Register(a.huma, operation(http.MethodGet, "/v1/fleet/owners/{infohash}", "get-fleet-owners", "Ask all nodes of the fleet whether they announce a torrent of the catalogue, and what they do for it", token.Read), a.getFleetOwners)
}

func (a *api) getFleet(context.Context, *struct{}) (*struct{ Body Fleet }, error) {
	f, err := a.Fleet()
	if err != nil {
		return nil, a.problem(err)
	}
	s := f.Status()
	out := Fleet{Name: s.Name, Settling: s.Settling, Error: s.Unreachable, Nodes: []*view.FleetNode{}}
	for i := range s.Members {
		out.Nodes = append(out.Nodes, fleetNodeOf(&s.Members[i]))
	}
	return &struct{ Body Fleet }{out}, nil
}

func (a *api) getFleetOwners(ctx context.Context, in *FleetPath) (*struct{ Body *view.FleetOwners }, error) {
	f, err := a.Fleet()
	if err != nil {
		return nil, a.problem(err)
	}
	infohash, err := id.ParseHex(in.InfoHash)
	if err != nil {
		return nil, a.problem(node.NewFault(node.FaultUsage, fmt.Errorf("%q is not an infohash: %w", in.InfoHash, err), ""))
	}
	key := infohash
	if t := a.Node().Torrent(infohash); t != nil { // a hybrid has two infohashes and the same owners for both
		key = t.InfoHash()
	}
	answers, err := f.Ask(ctx, infohash)
	if err != nil {
		return nil, a.problem(err)
	}
	now := time.Now()
	o := &view.FleetOwners{Head: view.NewHead(infohash, now), Owners: f.Owners(key), Announced: a.Node().IsAnnounced(infohash), Agree: true}
	if o.Owners == nil {
		o.Owners = []string{}
	}
	for i := range answers {
		h := fleetHolderOf(&answers[i])
		if o.Holders = append(o.Holders, h); answers[i].State == fleet.Answered {
			o.Agree = o.Agree && slices.Equal(h.Owners, o.Owners)
			o.Uploaded, o.Requests, o.Fetched = o.Uploaded+h.Uploaded, o.Requests+h.Requests, o.Fetched+h.Fetched
		}
	}
	view.Complete(o, now)
	return &struct{ Body *view.FleetOwners }{o}, nil
}

// fleetHolderOf returns the object of what a node of the fleet says of a torrent.
func fleetHolderOf(a *fleet.Answer) *view.FleetHolder {
	o := &view.FleetHolder{Name: a.Name, Self: a.Self, Has: a.Has, Owners: a.Owners, Announces: a.Announces, Cached: a.Cached,
		Connected: a.Connected, Uploaded: a.Uploaded, Requests: a.Requests, Fetched: a.Fetched}
	switch a.State {
	case fleet.Answered:
		o.State = "answered"
	case fleet.Silent:
		o.State = "silent"
	case fleet.Gone:
		o.State = "lost"
	case fleet.Elsewhere:
		o.State = "other_store"
	}
	if a.State == fleet.Answered && a.LastAnnounce >= 0 {
		o.LastAnnounce = &a.LastAnnounce
	}
	if o.Owners == nil {
		o.Owners = []string{}
	}
	return o
}

// fleetNodeOf returns the object of a node of the fleet.
func fleetNodeOf(m *fleet.Member) *view.FleetNode {
	o := &view.FleetNode{Name: m.Name, Self: m.Self, State: "live", Version: m.Version, Torrents: m.Torrents, Owned: m.Owned, Announced: m.Announced,
		Connected: m.Connected, Uploaded: m.Uploaded, UpRate: m.UpRate, Hits: m.Hits, Misses: m.Misses, Cached: m.Cached, Requests: m.Requests, Fetched: m.Fetched}
	if m.Addr.IsValid() {
		o.Addr = m.Addr.String()
	}
	for _, addr := range m.Peers {
		o.Addrs = append(o.Addrs, addr.String())
	}
	switch {
	case !m.Live:
		o.State, o.Error = "lost", "it does not answer; its torrents move to others"
	case m.OtherStore:
		o.State, o.Error = "other_store", "it has another --store, and so no part of the torrents"
	case m.SameName.IsValid():
		o.Error = fmt.Sprintf("another node has this name too, at %s; give one of them another --fleet-name", m.SameName)
	case m.SameAddr != "":
		o.Error = fmt.Sprintf("the node %s tells the others this address too; give each a --fleet-listen or --fleet-advertise of its own", m.SameAddr)
	}
	if m.Age >= 0 {
		age := int64(m.Age / time.Second)
		o.Age, o.Since = &age, m.Since.UTC().Format(time.RFC3339)
	}
	view.Complete(o, time.Now())
	return o
}
