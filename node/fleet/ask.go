package fleet

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/id"
)

// A node asks the others what they do for one torrent when somebody wants to know (fleet status INFOHASH). Both messages are one
// encrypted packet. An answer goes to the address of the member that the question names, so that a question cannot make
// a member send to anybody else.

const (
	// askWithin is how long a node waits for answers, and askAgain after how long it asks again those that have not answered.
	askWithin = time.Second
	askAgain  = 300 * time.Millisecond
	// maxAsking is the number of torrents about which a node asks at the same time. Other calls of Ask wait.
	maxAsking = 16
	// maxQuestions is the number of questions that wait to be answered, and answerEvery the pause between two answers. Others are
	// dropped.
	maxQuestions = 64
	answerEvery  = 5 * time.Millisecond
)

// Answer is what a member says of a torrent.
type Answer struct {
	Name  string
	State AnswerState
	Self  bool // it is this node
	Holding
}

// AnswerState says whether a member has answered.
type AnswerState uint8

const (
	// Answered means that Holding is what the member says.
	Answered AnswerState = iota
	// Silent means that a live member does not answer: it has failed, or its version is older.
	Silent
	// Gone means that the member is not live, and that the others have not taken over its torrents yet.
	Gone
	// Elsewhere means that the member has another object store. It is not asked.
	Elsewhere
)

// asking collects the answers to one question.
type asking struct {
	want    map[string]bool // names of those that have not answered
	answers []Answer
	done    chan struct{} // closed when nobody is left
}

// Ask asks all members what they do for a torrent. It takes up to askWithin if one of them does not answer. The result is sorted
// by names.
func (f *Fleet) Ask(ctx context.Context, infohash id.ID) ([]Answer, error) {
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	own := f.holding(infohash)
	q := question{Name: f.cfg.Name, Ref: rand.Uint64(), InfoHash: infohash.String()}
	a := &asking{want: map[string]bool{}, done: make(chan struct{})}
	a.answers = append(a.answers, Answer{Name: f.cfg.Name, Self: true, Holding: own})
	f.mu.Lock()
	for name, m := range f.members.live {
		switch {
		case name == f.cfg.Name:
		case m.about.Store != f.store:
			a.answers = append(a.answers, Answer{Name: name, State: Elsewhere})
		default:
			a.want[name] = true
		}
	}
	for _, name := range f.settling.current {
		if _, isLive := f.members.live[name]; !isLive && name != f.cfg.Name {
			a.answers = append(a.answers, Answer{Name: name, State: Gone})
		}
	}
	isOver := len(a.want) == 0
	if !isOver {
		f.asking[q.Ref] = a
	}
	f.mu.Unlock()
	if !isOver {
		f.await(ctx, a, &q)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.asking, q.Ref)
	for name := range a.want {
		a.answers = append(a.answers, Answer{Name: name, State: Silent})
	}
	slices.SortFunc(a.answers, func(x, y Answer) int { return cmp.Compare(x.Name, y.Name) })
	return a.answers, ctx.Err()
}

// await sends a question until all have answered or the time is over.
func (f *Fleet) await(ctx context.Context, a *asking, q *question) {
	over := time.NewTimer(askWithin)
	again := time.NewTicker(askAgain)
	defer over.Stop()
	defer again.Stop()
	b := q.encode()
	for {
		f.mu.Lock()
		to := f.nodes(func(name string) bool { return a.want[name] })
		f.mu.Unlock()
		f.send(to, b)
		select {
		case <-a.done:
			return
		case <-over.C:
			return
		case <-ctx.Done():
			return
		case <-f.ctx.Done():
			return
		case <-again.C:
		}
	}
}

// nodes returns the live members for whose names is returns true. mu is held.
func (f *Fleet) nodes(is func(name string) bool) (list []memberlist.Node) {
	for name, m := range f.members.live {
		if is(name) {
			list = append(list, m.node)
		}
	}
	return list
}

// send sends a message to some members, in one packet to each.
func (f *Fleet) send(to []memberlist.Node, b []byte) {
	for _, n := range to {
		if err := f.list.Load().SendBestEffort(&n, b); err != nil {
			f.log.Debug("fleet: a message was not sent", "to", n.Name, "err", err)
		}
	}
}

// takeQuestion queues the question of a member. It drops the question if too many wait.
func (f *Fleet) takeQuestion(q question) {
	select {
	case f.questions <- q:
	default:
	}
}

// takeAnswer takes the answer of a member that was asked.
func (f *Fleet) takeAnswer(r *answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.asking[r.Ref]
	if a == nil || !a.want[r.Name] {
		return
	}
	delete(a.want, r.Name)
	a.answers = append(a.answers, Answer{Name: r.Name, Holding: r.Holding})
	if len(a.want) == 0 {
		close(a.done)
	}
}

// keepAnswering answers the questions of members until the node closes.
func (f *Fleet) keepAnswering() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-f.ctx.Done():
			return
		}
		select {
		case q := <-f.questions:
			f.answer(&q)
		case <-f.ctx.Done():
			return
		}
		pause.Reset(answerEvery)
	}
}

// answer answers a question, if a live member asks.
func (f *Fleet) answer(q *question) {
	infohash, err := id.ParseHex(q.InfoHash)
	if err != nil {
		return // parseQuestion has refused it
	}
	f.mu.Lock()
	to := f.nodes(func(name string) bool { return name == q.Name && name != f.cfg.Name })
	f.mu.Unlock()
	if len(to) == 0 {
		return
	}
	r := answer{Name: f.cfg.Name, Ref: q.Ref, Holding: f.holding(infohash)}
	f.send(to, r.encode())
}

// holding returns what this node does for a torrent.
func (f *Fleet) holding(infohash id.ID) Holding {
	n := f.cfg.Node
	h, key := Holding{LastAnnounce: -1}, infohash
	if t := n.Torrent(infohash); t != nil {
		key = t.InfoHash() // a hybrid has two infohashes and the same owners for both
		s, u := t.Snapshot(), t.StoreUsage()
		h.Has, h.Connected, h.Uploaded = true, int64(s.Connected), t.Totals().Uploaded
		h.Cached, h.Requests, h.Fetched = t.CachedBytes(), u.Requests, u.Read
	}
	h.Owners, h.Announces = f.Owners(key), n.IsAnnounced(infohash)
	if ago, ok := n.LastAnnounce(infohash); ok {
		h.LastAnnounce = int64(ago / time.Second)
	}
	return h
}
