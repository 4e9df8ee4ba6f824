package fleet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/magnet"
	"seedbed/node"
)

// ask returns what the members say of a torrent to node num, by their names, and how long that took.
func (r *rig) ask(num int, infohash id.ID) (map[string]Answer, time.Duration) {
	r.t.Helper()
	begin := time.Now()
	list, err := r.nodes[num].Ask(r.t.Context(), infohash)
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]Answer{}
	for _, a := range list {
		all[a.Name] = a
	}
	return all, time.Since(begin)
}

// Members say who announces a torrent and when, what they have of it, and what they have sent and read for it.
func TestMembersSayWhatTheyDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.startThree(1)
		hash, size := r.torrents[0].Info.Hash, r.torrents[0].Info.Length
		time.Sleep(2 * time.Minute) // until it is announced
		owners := r.announcing(r.torrents[0])
		link, err := magnet.ParseBare("magnet:?xt=urn:btih:" + hash.String())
		if err != nil {
			t.Fatal(err)
		}
		peer := nodetest.Start(t, r.net, 10, func(c *node.Config) { c.NoDHT = true })
		got, err := peer.Add(node.Spec{Link: link, Dir: t.TempDir(), Peers: []string{nodetest.AddrPort(owners[0]).String()}})
		if err != nil {
			t.Fatal(err)
		}
		r.until(time.Minute, "a peer has the torrent", got.IsComplete)
		for num := range r.nodes {
			all, took := r.ask(num, hash)
			if len(all) != 3 || took >= askAgain {
				t.Errorf("node %d gets %d answers in %v", num, len(all), took)
			}
			var uploaded int64
			for other := range r.nodes {
				a, isOwner := all[name(other)], slices.Contains(owners, other)
				if a.State != Answered || !a.Has || a.Announces != isOwner || a.Self != (num == other) || !slices.Equal(a.Owners, r.nodes[num].Owners(hash)) {
					t.Errorf("of node %d, node %d says %+v", other, num, a)
				}
				if isOwner != (a.LastAnnounce > 0 && a.LastAnnounce <= 150) {
					t.Errorf("node %d announced it %d s ago", other, a.LastAnnounce)
				}
				if a.Uploaded > 0 && (a.Cached != size || a.Fetched != size || a.Requests == 0) {
					t.Errorf("node %d has sent it: %+v", other, a)
				}
				uploaded += a.Uploaded
			}
			if uploaded < size {
				t.Errorf("%d of %d bytes were sent", uploaded, size)
			}
		}
		if all, _ := r.ask(1, id.ID{1}); all[name(2)].Has || all[name(2)].Announces || len(all[name(2)].Owners) != 2 {
			t.Errorf("of a torrent that nobody has: %+v", all)
		}
	})
}

// A member that does not answer, is lost or has another store is shown as such, and the others are waited for no longer than a second.
func TestMembersThatSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		hash := r.torrents[0].Info.Hash
		r.startThree(1)
		r.startWith(4, func(c *Config) { c.Members, c.Store = []string{fleetAddr(1).String()}, "s3://other" })
		r.until(time.Minute, "node 4 is known", func() bool { return len(r.nodes[1].Status().Members) == 4 })
		r.nodes[3].Host.Unplug()
		all, took := r.ask(1, hash)
		if all[name(2)].State != Answered || all[name(3)].State != Silent || all[name(4)].State != Elsewhere || took != askWithin {
			t.Errorf("%+v after %v", all, took)
		}
		r.until(30*time.Second, "node 3 is lost", func() bool { all, _ := r.ask(1, hash); return all[name(3)].State == Gone })
		r.until(time.Minute, "node 3 is forgotten", func() bool { all, _ := r.ask(1, hash); return len(all) == 3 })
		f := r.nodes[1].Fleet
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.asking) > 0 || len(f.places) > 0 {
			t.Errorf("%d questions are kept", len(f.asking))
		}
	})
}

// While a member joins, the answers show that the members disagree about the owners.
func TestAnswersShowADisagreement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		hash := r.torrents[0].Info.Hash
		r.startThree(1)
		r.start(4, 1)
		agree := func() bool {
			all, _ := r.ask(1, hash)
			return slices.Equal(all[name(4)].Owners, all[name(1)].Owners)
		}
		r.until(10*time.Second, "node 4 is known", func() bool { return len(r.nodes[1].Status().Members) == 4 })
		if agree() {
			t.Error("the members agree at once")
		}
		r.until(30*time.Second, "they agree", agree)
	})
}

// Questions of nodes that are no members are not answered, and a flood of questions costs neither memory nor traffic without bound.
func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.start(1)
		r.start(2, 1)
		r.until(30*time.Second, "two nodes divide the torrents", func() bool { return r.divided(1, 2) })
		f := r.nodes[1].Fleet
		sent := func(q question) int64 {
			before := f.port.net.UDP()[0].Traffic().Out
			for range 10_000 {
				if err := f.take(q.encode()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			return f.port.net.UDP()[0].Traffic().Out - before
		}
		q := question{Name: "nobody", Ref: 1, InfoHash: r.torrents[0].Info.Hash.String()}
		quiet := sent(q)
		q.Name = name(2)
		if n := sent(q) - quiet; n < 5_000 || n > (maxQuestions+1)*maxReport {
			t.Errorf("10,000 questions are answered with %d bytes", n)
		}
		a := answer{Name: name(2), Ref: 99}
		if err := f.take(a.encode()); err != nil || len(f.asking) > 0 {
			t.Errorf("an answer that was not asked for: %v", err)
		}
	})
}
