package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"

	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/peerconn"
	"seedbed/swarm/wire"
)

func TestFaultOf(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		want engine.Fault
	}{
		{nil, engine.FaultNone},
		{op(os.NewSyscallError("connect", syscall.ECONNREFUSED)), engine.FaultRefused},
		{op(os.NewSyscallError("connect", syscall.ENETUNREACH)), engine.FaultUnreach},
		{op(context.DeadlineExceeded), engine.FaultTimeout},
		{op(os.ErrDeadlineExceeded), engine.FaultTimeout},
		{op(syscall.ECONNRESET), engine.FaultReset},
		{io.EOF, engine.FaultReset},
		{io.ErrUnexpectedEOF, engine.FaultReset},
		{errors.New("whatever"), engine.FaultReset},
		{op(net.ErrClosed), engine.FaultLocal},
		{context.Canceled, engine.FaultLocal},
		{op(os.NewSyscallError("socket", syscall.EMFILE)), engine.FaultLocal},
		{netx.ErrSelf, engine.FaultSelf},
		{&wire.Error{Kind: wire.BadHandshake}, engine.FaultHandshake},
		{&wire.Error{Kind: wire.Short}, engine.FaultHandshake},
		{fmt.Errorf("reading: %w", &wire.Error{Kind: wire.TooLong}), engine.FaultProtocol},
	} {
		if got := faultOf(c.err); got != c.want {
			t.Errorf("%v: %d, not %d", c.err, got, c.want)
		}
	}
}

// Connections wait when the inbox is full; workers and callers never do.
func TestInboxIsBoundedForConnectionsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		b.init()
		b.push(make([]peerconn.Arrival, inboxSize))
		pushed := make(chan bool, 2)
		go func() { pushed <- b.push(make([]peerconn.Arrival, 3)) }()
		b.post(item{}, item{})
		synctest.Wait()
		if len(pushed) != 0 {
			t.Fatal("a full inbox accepted more")
		}
		if n := len(b.swap(nil)); n != inboxSize+2 {
			t.Fatal(n)
		}
		if !<-pushed || len(b.swap(nil)) != 3 {
			t.Fatal("the waiting items were not added")
		}
		b.push(make([]peerconn.Arrival, inboxSize))
		go func() { pushed <- b.push(make([]peerconn.Arrival, 1)) }()
		synctest.Wait()
		b.close()
		if <-pushed || b.post(item{}) {
			t.Fatal("a closed inbox accepted items")
		}
	})
}

func BenchmarkInbox(b *testing.B) {
	b.ReportAllocs()
	var in inbox
	in.init()
	items := make([]peerconn.Arrival, 4)
	var spare []item
	for b.Loop() {
		in.push(items)
		got := in.swap(spare)
		clear(got)
		spare = got[:0]
	}
}
