package utpconn

import (
	"encoding/binary"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/utp"
)

// receiver handles the packets of one socket. Only the reader of the socket uses it.
type receiver struct {
	t       *Transport
	sock    *netx.Socket
	streams [netx.BatchLen]*Stream // of the packets of a batch; nil if there is none
	touched []*Stream              // each once
	dropped []*Stream              // half-open connections that gave way to newer ones
	replies []byte
	out     []netx.Datagram
}

// handle gives each packet of a batch to its connection. Then each of these connections
// sends once.
func (r *receiver) handle(in []netx.Datagram) {
	now := r.t.now()
	if !r.find(now, in) {
		return
	}
	for i := 0; i < len(in); {
		s := r.streams[i]
		if s == nil {
			i++
			continue
		}
		s.mu.Lock()
		for ; i < len(in) && r.streams[i] == s; i++ {
			s.c.Receive(now, in[i].Buf[:in[i].N])
		}
		s.mu.Unlock()
		if !s.touched {
			s.touched = true
			r.touched = append(r.touched, s)
		}
	}
	for i, s := range r.touched {
		s.touched = false
		s.mu.Lock()
		s.flush(now)
		s.mu.Unlock()
		r.touched[i] = nil
	}
	r.touched = r.touched[:0]
	for i, s := range r.dropped {
		s.abandon()
		r.dropped[i] = nil
	}
	r.dropped = r.dropped[:0]
	if len(r.out) > 0 {
		_, _ = r.sock.WriteBatch(r.out) // a reply that is not sent counts as packet loss
	}
}

// find looks up the connections of the packets. It reports whether the Transport is open.
func (r *receiver) find(now mono.Time, in []netx.Datagram) bool {
	t := r.t
	r.out, r.replies = r.out[:0], r.replies[:0]
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	var last key
	for i := range in {
		b := in[i].Buf[:in[i].N]
		typ, id := utp.Type(b[0]>>4), binary.BigEndian.Uint16(b[2:])
		k := key{in[i].Addr, id}
		if i > 0 && k == last && typ != utp.Syn && typ != utp.Reset {
			r.streams[i] = r.streams[i-1] // packets of one connection arrive together
			continue
		}
		last = key{}
		if r.streams[i] = t.find(typ, k); r.streams[i] != nil {
			if typ != utp.Syn && typ != utp.Reset {
				last = k
			}
			continue
		}
		r.streams[i] = r.unknown(now, b, in[i].Addr)
	}
	return true
}

// find returns the connection of a packet of this type with this source and connection id,
// or nil. The caller holds mu.
func (t *Transport) find(typ utp.Type, k key) *Stream {
	switch typ {
	case utp.Syn: // BEP 29: the acceptor receives under the id of the SYN plus 1
		k.id++
		return t.streams[k]
	case utp.Reset:
		// libutp and libtorrent send the id of the packet that they refuse, which is the one
		// that we send under, and others the id that we receive under.
		if s := t.streams[k]; s != nil {
			return s
		}
		for _, id := range []uint16{k.id - 1, k.id + 1} {
			if s := t.streams[key{k.remote, id}]; s != nil && s.sendID == k.id {
				return s
			}
		}
		return nil
	}
	return t.streams[k]
}

// unknown handles a packet of no connection: a SYN opens one if the limits allow it; other
// packets are answered with a reset, but a reset never is, so that two nodes do not reply
// to each other without end. The caller holds t.mu.
func (r *receiver) unknown(now mono.Time, b []byte, from netip.AddrPort) *Stream {
	t := r.t
	h, _, err := utp.Parse(b)
	if err != nil || h.Type == utp.Reset || t.cfg.Blocked(from.Addr()) || !t.gate.mayAnswer(now, from, h.Type == utp.Syn) {
		return nil
	}
	if h.Type == utp.Syn {
		if s := r.accept(now, &h, from); s != nil {
			return s
		}
	}
	reset := utp.Refuse(h, uint32(now/1000), uint16(t.rng.Uint32()))
	begin := len(r.replies)
	r.replies = reset.Append(r.replies)
	r.out = append(r.out, netx.Datagram{Buf: r.replies[begin:len(r.replies):len(r.replies)], Addr: from})
	return nil
}

// accept adds a half-open connection for a SYN, or returns nil to refuse it. If there are
// too many, the oldest one gives way: an honest peer needs one round trip to prove its
// address. The caller holds t.mu.
func (r *receiver) accept(now mono.Time, syn *utp.Header, from netip.AddrPort) *Stream {
	t := r.t
	s := newStream(t, r.sock, from)
	h := t.hosts[s.host]
	if t.cfg.RefuseIncoming || len(t.streams) >= maxStreams {
		return nil
	}
	if !addrs.IsLocal(from.Addr()) && (h.streams >= maxPerHost || h.halfOpen >= maxHalfOpenPerHost) {
		return nil
	}
	s.key.id, s.sendID = syn.ConnID+1, syn.ConnID
	s.c = utp.Accept(t.streamConfig(now, from.Addr()), syn, uint16(t.rng.Uint32()), now)
	t.add(s)
	if len(t.halfOpen) >= maxHalfOpen {
		r.dropped = append(r.dropped, t.halfOpen[0])
		t.halfOpen = t.leaveHalfOpen(t.halfOpen[0])
	}
	t.halfOpen = append(t.halfOpen, s)
	h = t.hosts[s.host]
	h.halfOpen++
	t.hosts[s.host] = h
	return s
}
