package api

import (
	"context"
	"net/http"
	"runtime"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node/daemon/token"
)

// NodeStatus is the state of the whole node.
type NodeStatus struct {
	Version  string   `json:"version" doc:"The version of seedbed."`
	Addrs    []string `json:"addrs" doc:"The addresses on which the node listens for peers and DHT nodes."`
	Dir      string   `json:"dir" doc:"The folder for torrents that are added without one."`
	DHTNodes int      `json:"dht_nodes" doc:"Good nodes in the routing tables."`
	Torrents int      `json:"torrents" doc:"The number of torrents."`
	DownRate int64    `json:"down_rate" doc:"Bytes a second, of all torrents."`
	UpRate   int64    `json:"up_rate" doc:"Bytes a second, of all torrents."`

	Goroutines int `json:"goroutines" doc:"Goroutines of the process. A number that keeps growing is a leak."`
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
		Goroutines: runtime.NumGoroutine()}
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
