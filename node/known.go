package node

import (
	"bytes"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// knownPeers remembers addresses that proved to be peers of one torrent, the
// latest last, so that the next run need not wait for the DHT. It is safe for
// concurrent use.
type knownPeers struct {
	lru     *lru.Cache[netip.AddrPort, int64] // Unix seconds when it last proved itself
	changed atomic.Bool                       // since it was encoded
}

const (
	maxKnownPeers = 200
	knownPeerAge  = 7 * 24 * time.Hour
)

func newKnownPeers() *knownPeers {
	c, err := lru.New[netip.AddrPort, int64](maxKnownPeers)
	if err != nil {
		panic(err) // the size is positive
	}
	return &knownPeers{lru: c}
}

func (k *knownPeers) add(a netip.AddrPort, now time.Time) {
	k.lru.Add(a, now.Unix())
	k.changed.Store(true)
}

// ban forgets an address; with port 0, every one of that IP.
func (k *knownPeers) ban(a netip.AddrPort) {
	for _, o := range k.lru.Keys() {
		if o == a || a.Port() == 0 && o.Addr() == a.Addr() {
			k.lru.Remove(o)
			k.changed.Store(true)
		}
	}
}

// addrs are the remembered addresses, the latest first.
func (k *knownPeers) addrs() []netip.AddrPort {
	keys := k.lru.Keys()
	for i, j := 0, len(keys)-1; i < j; i, j = i+1, j-1 {
		keys[i], keys[j] = keys[j], keys[i]
	}
	return keys
}

// encode is one line an address, the latest last, "ADDR SECONDS", and whether
// that has changed since it was last asked for.
func (k *knownPeers) encode() (b []byte, changed bool) {
	changed = k.changed.Swap(false)
	for _, a := range k.lru.Keys() {
		when, ok := k.lru.Peek(a)
		if !ok {
			continue // pushed out meanwhile
		}
		b = a.AppendTo(b)
		b = append(b, ' ')
		b = strconv.AppendInt(b, when, 10)
		b = append(b, '\n')
	}
	return b, changed
}

// decode adds what encode wrote, passing over lines that it cannot read and
// addresses that have been silent too long.
func (k *knownPeers) decode(b []byte, now time.Time) {
	for line := range bytes.Lines(b) {
		addr, when, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !ok {
			continue
		}
		a, err := netip.ParseAddrPort(string(addr))
		if err != nil || a.Port() == 0 {
			continue
		}
		at, err := strconv.ParseInt(string(when), 10, 64)
		if err != nil || now.Sub(time.Unix(at, 0)) > knownPeerAge {
			continue
		}
		k.lru.Add(a, at)
	}
}
