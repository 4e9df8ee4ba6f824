package node

import (
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
)

// saveEvery is how often the DHT's nodes and known peers are written down: a
// crash loses at most so much of what was learned.
const saveEvery = 5 * time.Minute

// openDHT joins the DHT with what the last run learned. A process that does
// not own the state directory's node file takes ids of its own, for two nodes
// with one id would shadow each other.
func (n *Node) openDHT() (*dht.DHT, error) {
	f := n.state.loadNode()
	cfg := dht.Config{
		Conns: n.net.UDP(), Bootstrap: n.cfg.Bootstrap, Resolve: n.cfg.resolve, Logger: n.log,
		Rate: float64(n.cfg.DHTRate), Flows: n.cfg.DHTFlows, EnforceID: n.cfg.EnforceID,
	}
	cfg.Nodes = f.savedNodes()
	if n.state.owned() {
		cfg.ID4, _ = id.ParseHex(f.ID4) // zero when absent: a fresh one is made
		cfg.ID6, _ = id.ParseHex(f.ID6)
	}
	return dht.New(cfg)
}

// SavedNodes returns the DHT nodes that the state directory at path knows. It only reads.
func SavedNodes(path string) []dht.SavedNode {
	f := (&stateDir{path: path}).loadNode()
	return f.savedNodes()
}

func (f *nodeFile) savedNodes() (nodes []dht.SavedNode) {
	for _, s := range f.Nodes {
		if v, err := id.ParseHex(s.ID); err == nil && s.Addr.IsValid() && s.Addr.Port() != 0 {
			nodes = append(nodes, dht.SavedNode{ID: v, Addr: s.Addr})
		}
	}
	return nodes
}

// keepDHT saves the DHT's nodes now and then.
func (n *Node) keepDHT() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
			if err := n.saveDHT(); err != nil {
				n.log.Warn("the DHT's nodes could not be saved", "err", err)
			}
		}
	}
}

func (n *Node) saveDHT() error {
	if !n.state.owned() {
		return nil
	}
	nodes := n.dht.SavedNodes()
	if len(nodes) == 0 {
		return nil // what an earlier run learned is better than nothing
	}
	f := nodeFile{ID4: n.dht.ID(false).String(), ID6: n.dht.ID(true).String()}
	for _, s := range nodes {
		f.Nodes = append(f.Nodes, savedNode{s.ID.String(), s.Addr})
	}
	return n.state.saveNode(f)
}
