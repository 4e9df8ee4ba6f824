package transmission

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
	"seedbed/node/daemon/token"
)

// list returns the ids of the torrents and of the removed ones in an answer.
func (r *rig) list(ids string) (torrents, removed []int64) {
	r.t.Helper()
	var answer struct {
		Arguments struct {
			Torrents []struct{ ID int64 }
			Removed  []int64
		}
	}
	body := r.post(token.Read, fmt.Sprintf(`{"method":"torrent-get","arguments":{"fields":["id"],"ids":%s}}`, ids)).Body.Bytes()
	if err := json.Unmarshal(body, &answer); err != nil {
		r.t.Fatal(err)
	}
	for _, x := range answer.Arguments.Torrents {
		torrents = append(torrents, x.ID)
	}
	return torrents, answer.Arguments.Removed
}

func (r *rig) addLink(last byte) *node.Torrent {
	r.t.Helper()
	hash := fmt.Sprintf("%040x", int(last)+0xabcd<<32)
	r.post(token.Add, `{"method":"torrent-add","arguments":{"paused":true,"filename":"`+hash+`"}}`)
	t, err := r.d.Find(hash)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

func TestIDsInAllTheirForms(t *testing.T) {
	r := newRig(t)
	for i := range byte(3) {
		r.addLink(i)
	}
	second := r.d.Node().Torrents()[1].InfoHash().String()
	for ids, want := range map[string][]int64{
		`1`: {1}, `[1]`: {1}, `[3,1]`: {3, 1}, `"2"`: nil, `["` + second + `",3]`: {2, 3}, `"` + second + `"`: {2}, `[2,"` + second + `"]`: {2},
		`[]`: nil, `[9,0,-1]`: nil, `["x",null,{},[1]]`: nil, `null`: nil, `{}`: nil, `true`: nil, `"` + second[:39] + `"`: nil,
	} {
		if got, removed := r.list(ids); !slices.Equal(got, want) || removed != nil {
			t.Errorf("%s: %v, removed %v", ids, got, removed)
		}
	}
}

// editDate is when labels, limits or names last changed in this run, in seconds. Starting or stopping
// a torrent does not count.
func TestEditDateIsTheLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSimulated(t)
		x := r.addLink(1)
		date := func(after string, want int64) {
			t.Helper()
			if err := x.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			const fields = `{"fields":["editDate"],"format":"table"}`
			if got, want := r.answerOf("torrent-get", fields), fmt.Sprintf(`[["editDate"],[%d]]`, want); !strings.Contains(got, want) {
				t.Errorf("after %s: %s, want %s", after, got, want)
			}
		}
		date("adding", 0)
		for _, change := range []string{`"labels":["a"]`, `"uploadLimit":10,"uploadLimited":true`, `"seedRatioLimit":2,"seedRatioMode":1`} {
			time.Sleep(time.Minute)
			r.post(token.Admin, `{"method":"torrent-set","arguments":{"ids":1,`+change+`}}`)
			date(change, time.Now().Unix())
		}
		time.Sleep(time.Minute)
		if err := x.RenameTorrent(t.Context(), "mine"); err != nil {
			t.Fatal(err)
		}
		renamed := time.Now().Unix()
		date("renaming", renamed)
		time.Sleep(time.Minute)
		for _, method := range []string{"torrent-start", "torrent-stop"} {
			r.post(token.Admin, `{"method":"`+method+`","arguments":{"ids":1}}`)
			date(method, renamed)
		}
	})
}

// newSimulated returns a rig on a simulated network, in a bubble.
func newSimulated(t *testing.T) *rig {
	t.Helper()
	network, err := simnet.New(1, simnet.Link{}).Host(nodetest.Addr(1)).Open(node.DefaultPort)
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, func(c *node.Config) { c.Network, c.Listen = network, "" })
}

// A torrent is recently active for a minute after its last change, and one that was removed is
// listed as such for as long.
func TestRecentlyActiveIsAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSimulated(t)
		recent := func() (torrents, removed []int64) { return r.list(`"recently-active"`) }
		if got, removed := recent(); got != nil || removed == nil || len(removed) != 0 {
			t.Errorf("of nothing: %v, %v", got, removed)
		}
		r.addLink(1)
		r.addLink(2)
		time.Sleep(30 * time.Second)
		if got, _ := recent(); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("after they were added: %v", got)
		}
		for range 20 {
			time.Sleep(5 * time.Second)
			recent()
		}
		if got, removed := recent(); got != nil || len(removed) != 0 {
			t.Errorf("after a minute: %v, %v", got, removed)
		}
		r.post(token.Admin, `{"method":"torrent-remove","arguments":{"ids":2}}`)
		if got, removed := recent(); got != nil || !slices.Equal(removed, []int64{2}) {
			t.Errorf("after the removal: %v, %v", got, removed)
		}
		// A client that was away for a long time gets everything that has changed since.
		time.Sleep(time.Hour)
		if _, removed := recent(); !slices.Equal(removed, []int64{2}) {
			t.Errorf("after an hour: %v", removed)
		}
	})
}
