package lsd

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// An announced is one message of a simulation.
type announced struct {
	at     mono.Time
	hashes []id.ID
}

// simulate runs a schedule from one moment to another and returns its messages.
func simulate(s *schedule, from, to mono.Time) (list []announced) {
	for now := from; now <= to; now = max(s.deadline(now), now+1) {
		if h := s.next(now); h != nil {
			list = append(list, announced{now, h})
			now--
		}
	}
	return list
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func minutes(n float64) mono.Time { return mono.Time(n * float64(time.Minute)) }

// BEP 14: "it should send a LSD announce every 5 minutes". The second one follows sooner.
func TestEveryTorrentIsAnnouncedEvery5Minutes(t *testing.T) {
	for _, n := range []int{1, 5, 30, 100, 700} {
		s := newSchedule(0, seeded())
		s.set(0, hashes(n))
		last, worst := map[id.ID]mono.Time{}, time.Duration(0)
		for _, m := range simulate(s, 0, minutes(60)) {
			for _, h := range m.hashes {
				if at, ok := last[h]; ok && m.at > minutes(10) {
					worst = max(worst, m.at.Sub(at))
				}
				last[h] = m.at
			}
		}
		if len(last) != n || worst < interval || worst > interval+messageInterval {
			t.Errorf("%d torrents: %d announced, at most %v apart", n, len(last), worst)
		}
	}
}

func TestSecondAnnounceFollowsAfterAMinute(t *testing.T) {
	s := newSchedule(0, seeded())
	s.set(0, hashes(1))
	var at []mono.Time
	for _, m := range simulate(s, 0, minutes(12)) {
		at = append(at, m.at)
	}
	if want := []mono.Time{0, minutes(1), minutes(6), minutes(11)}; !slices.Equal(at, want) {
		t.Errorf("announced at %v, want %v", at, want)
	}
}

// Whatever happens, a torrent is announced at most once a minute, and all together send few
// messages.
func TestAnnouncesAreLimited(t *testing.T) {
	s, rng := newSchedule(0, seeded()), seeded()
	last := map[id.ID]mono.Time{}
	messages := 0
	for now := mono.Time(0); now < minutes(60); now += mono.Time(rng.Int64N(int64(20 * time.Second))) {
		all := hashes(200)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		s.set(now, all[:rng.IntN(200)]) // torrents come and go
		s.hasten(now)
		for h := s.next(now); h != nil; h = s.next(now) {
			messages++
			if len(h) > MaxHashes {
				t.Fatalf("%d infohashes in a message", len(h))
			}
			for _, h := range h {
				if at, ok := last[h]; ok && now.Sub(at) < minInterval {
					t.Fatalf("announced again after %v", now.Sub(at))
				}
				last[h] = now
			}
		}
		if len(s.torrents) > 200 {
			t.Fatalf("%d torrents are remembered", len(s.torrents))
		}
	}
	if limit := int(time.Hour/messageInterval) + messageBurst; messages > limit || messages < limit/2 {
		t.Errorf("%d messages in an hour, at most %d are allowed", messages, limit)
	}
}

// Older clients read only the first infohash of a message.
func TestFewTorrentsHaveAMessageEach(t *testing.T) {
	s := newSchedule(0, seeded())
	s.set(0, hashes(20))
	for _, m := range simulate(s, 0, minutes(30)) {
		if len(m.hashes) != 1 {
			t.Fatalf("%d infohashes in a message", len(m.hashes))
		}
	}
	s = newSchedule(0, seeded())
	s.set(0, hashes(60))
	first := map[id.ID]bool{}
	for _, m := range simulate(s, 0, minutes(90)) {
		first[m.hashes[0]] = true
	}
	if len(first) < 58 {
		t.Errorf("only %d of 60 torrents were ever the first of a message", len(first))
	}
}

// With thousands of torrents a round takes hours. A torrent that is added goes first, and the others
// are still all announced.
func TestANewTorrentDoesNotWaitForManyOthers(t *testing.T) {
	const n = 3000
	s := newSchedule(0, seeded())
	s.set(0, hashes(n))
	seen := map[id.ID]bool{}
	note := func(list []announced) {
		for _, m := range list {
			for _, h := range m.hashes {
				seen[h] = true
			}
		}
	}
	note(simulate(s, 0, minutes(10)))
	all := hashes(n + 1)
	s.set(minutes(10), all)
	note(simulate(s, minutes(10), minutes(10)+mono.Time(messageInterval)))
	if !seen[all[n]] {
		t.Error("a new torrent was not announced by the next message")
	}
	note(simulate(s, minutes(11), minutes(30)))
	if len(seen) != n+1 {
		t.Errorf("%d of %d torrents were announced in half an hour", len(seen), n+1)
	}
}

func TestForgetsTorrentsThatEnded(t *testing.T) {
	s := newSchedule(0, seeded())
	s.set(0, hashes(3))
	simulate(s, 0, minutes(2))
	s.set(minutes(2), hashes(1))
	s.set(minutes(4), hashes(1))
	if list := simulate(s, minutes(4), minutes(20)); len(s.torrents) != 1 || len(list) == 0 ||
		slices.ContainsFunc(list, func(m announced) bool { return m.hashes[0] != hashes(1)[0] }) {
		t.Errorf("%d torrents are remembered, and announced %v", len(s.torrents), list)
	}
	if s.set(minutes(30), nil); s.deadline(minutes(30)) != mono.Never {
		t.Error("something is due although there are no torrents")
	}
}

func TestIntakeIgnoresOwnMessages(t *testing.T) {
	in := newIntake(0, "mine", seeded())
	from := netip.MustParseAddrPort("192.168.1.9:6771")
	send := func(cookie string) bool {
		_, ok := in.accept(0, from, Append(nil, Group4, Message{Port: 1, Hashes: hashes(1), Cookie: cookie}))
		return ok
	}
	if send("mine") || !send("other") || !send("") {
		t.Error("the cookie does not decide")
	}
}

func TestIntakeLimitsEachSourceAndAll(t *testing.T) {
	in := newIntake(0, "mine", seeded())
	b := Append(nil, Group4, Message{Port: 1, Hashes: hashes(1)})
	used := func(now mono.Time, sources, each int) (n int) {
		for i := range sources * each {
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i%sources)}), uint16(i))
			if _, ok := in.accept(now, from, b); ok {
				n++
			}
		}
		return n
	}
	if n := used(0, 1, 1000); n != sourceBurst {
		t.Errorf("one source: %d of 1000 messages were used", n)
	}
	if n := used(mono.Time(time.Hour), 100, 100); n != totalBurst {
		t.Errorf("100 sources: %d of 10000 messages were used", n)
	}
	if n := used(mono.Time(2*time.Hour), 1, 1); n != 1 {
		t.Error("the limits never end")
	}
}
