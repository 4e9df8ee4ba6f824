package api

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/portmap"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// NodeStatus is the state of the whole node.
type NodeStatus struct {
	Version      string                   `json:"version" doc:"The version of seedbed."`
	Addrs        []string                 `json:"addrs" doc:"The addresses on which the node listens for peers and DHT nodes."`
	Routers      []Router                 `json:"routers" doc:"What the routers of the local network map for us. Empty if none is asked."`
	Reachability []view.ReachabilityState `json:"reachability" doc:"Whether others on the internet can connect to the node, for each address family. Empty if nothing listens."`
	Dir          string                   `json:"dir" doc:"The folder for torrents that are added without one."`
	Store        string                   `json:"store,omitempty" doc:"The place in an object store that has the files of torrents that are added with store. Absent if there is none."`
	DHTNodes     int                      `json:"dht_nodes" doc:"Good nodes in the routing tables."`
	Torrents     int                      `json:"torrents" doc:"The number of torrents."`
	DownRate     int64                    `json:"down_rate" doc:"Bytes a second, of all torrents."`
	UpRate       int64                    `json:"up_rate" doc:"Bytes a second, of all torrents."`
	Gateway      string                   `json:"gateway,omitempty" doc:"The URL at which browsers on the daemon's machine can read publications: followed by ?q= and a link, it leads to that publication. Absent if the gateway is off."`

	Goroutines int `json:"goroutines" doc:"Goroutines of the process. A number that keeps growing is a leak."`
}

// Router is a router that is asked to forward the port of the node.
type Router struct {
	Gateway  string `json:"gateway" doc:"The address of the router."`
	Local    string `json:"local" doc:"Our address on its network."`
	External string `json:"external,omitempty" doc:"HOST:PORT at which peers reach us from outside. Absent if the router does not map the port."`
	Method   string `json:"method,omitempty" doc:"PCP, NAT-PMP or UPnP."`
	Lease    int64  `json:"lease_s,omitempty" doc:"Seconds; renewed before it ends. Absent if the mapping has no end."`
	Error    string `json:"error,omitempty" doc:"Why the port is not mapped."`
	Hint     string `json:"hint,omitempty" doc:"What to do about it."`
}

// routers returns what routers map for the node.
func routers(s *portmap.Status) []Router {
	list := []Router{}
	for _, t := range s.Targets {
		r := Router{Gateway: t.Gateway.String(), Local: t.Local.String(), Hint: t.Advice}
		if len(t.Mappings) > 0 {
			m := &t.Mappings[0]
			r.External, r.Method, r.Lease = m.External.String(), m.Method.String(), int64(m.Lease/time.Second)
		} else if t.Err != nil {
			r.Error = t.Err.Error()
		}
		list = append(list, r)
	}
	return list
}

func (a *api) addNode() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/node", "get-node", "Show the state of the node", token.Read),
		func(context.Context, *struct{}) (*struct{ Body NodeStatus }, error) {
			return &struct{ Body NodeStatus }{a.status()}, nil
		})
}

func (a *api) status() NodeStatus {
	n := a.Node()
	s := NodeStatus{Version: a.cfg.Version, Dir: a.Dir(), DHTNodes: n.DHTNodes(), Torrents: len(n.Torrents()), Addrs: []string{},
		Gateway: a.cfg.Gateway, Goroutines: runtime.NumGoroutine()}
	mapped, _ := n.PortMapping()
	s.Routers = routers(&mapped)
	s.Reachability = []view.ReachabilityState{}
	for _, r := range n.Reachabilities() {
		s.Reachability = append(s.Reachability, view.ReachabilityOf(r))
	}
	s.Store = n.StoreLocation()
	for _, addr := range n.Addrs() {
		s.Addrs = append(s.Addrs, addr.String())
	}
	for _, t := range n.Active() {
		snap := t.Snapshot()
		s.DownRate += int64(snap.DownRate)
		s.UpRate += int64(snap.UpRate)
	}
	return s
}
