package node

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"seedbed/swarm/engine"
)

// knownPeers has the addresses that completed a handshake for one torrent, the latest last,
// so that the next run does not have to wait for the DHT. It is safe for concurrent use.
type knownPeers struct {
	lru     *lru.Cache[netip.AddrPort, knownPeer]
	changed atomic.Bool // since the last encode
}

// knownPeer is what we know about an address.
type knownPeer struct {
	seen      int64 // Unix seconds of the last completed handshake
	encrypted bool  // with an encrypted handshake
}

const (
	maxKnownPeers = 200
	knownPeerAge  = 7 * 24 * time.Hour
)

func newKnownPeers() *knownPeers {
	c, err := lru.New[netip.AddrPort, knownPeer](maxKnownPeers)
	if err != nil {
		panic(err) // the size is positive
	}
	return &knownPeers{lru: c}
}

func (k *knownPeers) add(a netip.AddrPort, encrypted bool, now time.Time) {
	k.lru.Add(a, knownPeer{now.Unix(), encrypted})
	k.changed.Store(true)
}

// ban removes an address, or every port of that IP address if the port is 0.
func (k *knownPeers) ban(a netip.AddrPort) {
	for _, o := range k.lru.Keys() {
		if o == a || a.Port() == 0 && o.Addr() == a.Addr() {
			k.lru.Remove(o)
			k.changed.Store(true)
		}
	}
}

// candidates returns the known addresses for the swarm, the latest first.
func (k *knownPeers) candidates() (list []engine.Candidate) {
	for _, a := range slices.Backward(k.lru.Keys()) {
		if p, ok := k.lru.Peek(a); ok {
			list = append(list, engine.Candidate{Addr: a, Source: engine.FromLastRun, Encrypted: p.encrypted})
		}
	}
	return list
}

// encode returns one line for each address, the latest last, "ADDR SECONDS" or
// "ADDR SECONDS encrypted", and whether that has changed since the last call.
func (k *knownPeers) encode() (b []byte, changed bool) {
	changed = k.changed.Swap(false)
	for _, a := range k.lru.Keys() {
		p, ok := k.lru.Peek(a)
		if !ok {
			continue // evicted since
		}
		b = a.AppendTo(b)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.seen, 10)
		if p.encrypted {
			b = append(b, ' ')
			b = append(b, encryptedMark...)
		}
		b = append(b, '\n')
	}
	return b, changed
}

const encryptedMark = "encrypted"

// decode adds the output of encode. It skips invalid lines and addresses that were
// last seen too long ago.
func (k *knownPeers) decode(b []byte, now time.Time) {
	for line := range bytes.Lines(b) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddrPort(fields[0])
		if err != nil || a.Port() == 0 {
			continue
		}
		at, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil || now.Sub(time.Unix(at, 0)) > knownPeerAge {
			continue
		}
		k.lru.Add(a, knownPeer{at, slices.Contains(fields[2:], encryptedMark)})
	}
}
