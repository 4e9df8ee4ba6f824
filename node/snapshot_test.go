package node

import (
	"errors"
	"testing"
	"time"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

func TestLossesHaveReasons(t *testing.T) {
	for _, c := range []struct {
		s    engine.Stats
		want string
	}{
		{engine.Stats{}, ""},
		{engine.Stats{Banned: 1, Dropped: engine.Drops{BadData: 1}}, "1 peer banned, 1 dropped (1 sent bad data)"},
		{engine.Stats{Banned: 2}, "2 peers banned"},
		{engine.Stats{Dropped: engine.Drops{Protocol: 2, Slow: 1, Silent: 3}}, "6 dropped (2 broke the protocol, 1 too slow, 3 silent)"},
	} {
		if got := (&Snapshot{State: lifecycle.Metadata, Stats: c.s}).Losses(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// When nothing moves, one line says why; when something moves, none does.
func TestTheCalmLineSaysWhy(t *testing.T) {
	down := func(s engine.Stats) Snapshot {
		return Snapshot{Stats: s, State: lifecycle.Downloading}
	}
	for _, c := range []struct {
		name string
		s    Snapshot
		d    dhtView
		want string
	}{
		{"no nodes", Snapshot{State: lifecycle.Metadata}, dhtView{hosts: 6}, "no DHT nodes yet, 6 bootstrap hosts asked"},
		{"no nodes and none to ask", Snapshot{State: lifecycle.Metadata}, dhtView{}, "no DHT nodes known and no bootstrap hosts given"},
		{"dht off", Snapshot{State: lifecycle.Metadata}, dhtView{off: true}, "the DHT is off: only peers given with --peer or x.pe are tried"},
		{"lookup", Snapshot{State: lifecycle.Metadata}, dhtView{nodes: 9, running: true, asked: 1}, "lookup running, 1 DHT node asked"},
		{"between lookups", Snapshot{State: lifecycle.Metadata}, dhtView{nodes: 9, untilAsk: 8500 * time.Millisecond}, "no peers found yet, next lookup in 8 s"},
		{"dialling", Snapshot{State: lifecycle.Metadata, Stats: engine.Stats{Dialing: 2}}, dhtView{nodes: 1}, "dialling 2 peers"},
		{"refused", Snapshot{State: lifecycle.Metadata, Stats: engine.Stats{Tried: 3, Refused: 2}}, dhtView{nodes: 9, running: true, asked: 4}, "3 peers tried, of which 2 refused; lookup running, 4 DHT nodes asked"},
		{"metadata", Snapshot{State: lifecycle.Metadata, Stats: engine.Stats{Connected: 3, MetaPeers: 1}}, dhtView{}, "waiting for metadata from 1 peer"},
		{"no metadata offered", Snapshot{State: lifecycle.Metadata, Stats: engine.Stats{Connected: 1}}, dhtView{}, "connected to 1 peer, none of which offers the metadata"},
		{"choked", down(engine.Stats{Connected: 3, ChokedBy: 3, Metadata: true}), dhtView{}, "choked by all 3 peers"},
		{"half choked", down(engine.Stats{Connected: 3, ChokedBy: 1, Metadata: true}), dhtView{}, "choked by 1 of 3 peers"},
		{"not there", down(engine.Stats{Connected: 2, Metadata: true}), dhtView{}, "connected to 2 peers, which together lack some of the missing pieces"},
		{"moving", down(engine.Stats{Connected: 3, DownRate: 5, ChokedBy: 2}), dhtView{}, ""},
		{"paused", Snapshot{State: lifecycle.Downloading, Paused: errors.New("no space")}, dhtView{}, "paused: no space"},
		{"seeding alone", Snapshot{State: lifecycle.Seeding}, dhtView{}, ""},
	} {
		if got := why(&c.s, c.d); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
