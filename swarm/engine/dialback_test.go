package engine

import (
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// supporter connects a peer that supports dialing back.
func supporter(r *rig) Conn {
	c := r.connect(true)
	r.sendExt(c, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{DialBack: 9}))
	return c
}

func (r *rig) sendExt(c Conn, ext uint8, payload []byte) {
	r.step(&EvMessage{Conn: c, Msg: wire.Msg{Type: wire.Extended, Ext: ext, Payload: payload}})
}

// dialBacks returns the commands about dialing back.
func dialBacks(cmds []Command) (able []Conn, messages []wire.DialBackMsg) {
	for _, c := range cmds {
		switch c.Kind {
		case CmdCanDialBack:
			able = append(able, c.Conn)
		case CmdDialBack:
			messages = append(messages, *c.DialBack)
		}
	}
	return able, messages
}

func TestPeersThatCanDialBackAreReportedOnce(t *testing.T) {
	r := seeding(t, Config{DialBack: true}, 5)
	c := supporter(r)
	cmds := r.drain()
	if able, _ := dialBacks(cmds); len(able) != 1 || able[0] != c {
		t.Errorf("reported %v", able)
	}
	var told bool
	for _, m := range sent(t, cmds, c) {
		if h, err := wire.ParseExtHandshake(m.Payload); m.Type == wire.Extended && err == nil {
			told = told || h.DialBack == wire.ExtDialBack
		}
	}
	if !told {
		t.Error("our handshake does not name the extension")
	}
	r.sendExt(c, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{DialBack: 9}))
	if able, _ := dialBacks(r.drain()); len(able) != 0 {
		t.Error("reported again")
	}
	m := wire.DialBackMsg{Transports: wire.DialBackTCP, Port: 6881, Token: id.ID{1}}
	r.step(&EvDialBack{Conn: c, Msg: m})
	ms := sent(t, r.drain(), c)
	if len(ms) != 1 || ms[0].Ext != 9 {
		t.Fatalf("sent %+v", ms)
	}
	if got, err := wire.ParseDialBack(ms[0].Payload); err != nil || got != m {
		t.Errorf("sent %+v, %v", got, err)
	}
}

// A peer may ask once in some minutes. One that floods is banned.
func TestRequestsToDialBackAreRare(t *testing.T) {
	r := seeding(t, Config{DialBack: true}, 5)
	c := supporter(r)
	r.drain()
	request := wire.AppendDialBack(nil, wire.DialBackMsg{Transports: wire.DialBackTCP, Port: 6881})
	count := func(times int) int {
		for range times {
			r.sendExt(c, wire.ExtDialBack, request)
		}
		_, messages := dialBacks(r.drain())
		return len(messages)
	}
	if n := count(10); n != 1 {
		t.Errorf("%d requests got through", n)
	}
	r.now = r.now.Add(dialBackPause - time.Second)
	if n := count(1); n != 0 {
		t.Error("a request got through too early")
	}
	r.now = r.now.Add(time.Second)
	if n := count(1); n != 1 {
		t.Error("a request that is not too early did not get through")
	}
	if n := count(1000); n != 0 || r.e.Stats(r.now).Banned != 1 {
		t.Errorf("%d got through a flood, and %d are banned", n, r.e.Stats(r.now).Banned)
	}
}

func TestDialBackIsOptional(t *testing.T) {
	r := seeding(t, Config{}, 5)
	c := supporter(r)
	r.sendExt(c, wire.ExtDialBack, []byte("no message at all"))
	cmds := r.drain()
	if able, messages := dialBacks(cmds); len(able)+len(messages) != 0 {
		t.Error(able, messages)
	}
	for _, m := range sent(t, cmds, c) {
		if h, err := wire.ParseExtHandshake(m.Payload); m.Type == wire.Extended && err == nil && h.DialBack != 0 {
			t.Error("our handshake names the extension")
		}
	}
	on := seeding(t, Config{DialBack: true}, 5)
	other := on.connect(true) // it does not support it, so it could not read an answer
	on.sendExt(other, wire.ExtDialBack, wire.AppendDialBack(nil, wire.DialBackMsg{Transports: wire.DialBackTCP, Port: 6881}))
	on.step(&EvDialBack{Conn: other})
	cmds = on.drain()
	if _, messages := dialBacks(cmds); len(messages) != 0 {
		t.Error("a request got through")
	}
	for _, m := range sent(t, cmds, other) {
		if m.Type == wire.Extended && m.Ext != wire.ExtHandshakeID {
			t.Error("it was sent a message")
		}
	}
	bad := supporter(on)
	on.sendExt(bad, wire.ExtDialBack, []byte{wire.DialBackRequest})
	closed := false
	for _, c := range on.drain() {
		closed = closed || c.Kind == CmdClose && c.Conn == bad && c.Fault == FaultProtocol
	}
	if !closed {
		t.Error("a malformed request did not cost the connection")
	}
}
