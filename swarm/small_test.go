package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"seedbed/internal/buf"
	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

var wireAddr = netip.MustParseAddrPort("10.9.9.9:6881")

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

// A lease table against a plain list.
func TestLeaseTableIsAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := buf.NewPool(1 << 20)
		defer pool.Close()
		chunk := pool.Get(1 << 20)
		var table leaseTable
		var list []engine.Block
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch {
			case rapid.IntRange(0, 9).Draw(t, "step") < 6 || len(list) == 0:
				b := engine.Block{Piece: uint32(i), Length: 1}
				if !table.put(grant{block: b, lease: chunk.Lease(0, 1)}) {
					t.Fatal("the table is shut")
				}
				list = append(list, b)
			default:
				k := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				if rapid.Bool().Draw(t, "first") {
					k = 0
				}
				b := list[k]
				list = append(list[:k:k], list[k+1:]...)
				g, ok := table.take(b)
				if !ok || g.block != b {
					t.Fatalf("%v is not there", b)
				}
				g.lease.Release()
				if _, ok := table.take(b); ok || table.has(b) {
					t.Fatalf("%v is there twice", b)
				}
			}
			for _, b := range list {
				if !table.has(b) {
					t.Fatalf("%v is lost", b)
				}
			}
		}
		table.close()
		if l := chunk.Lease(0, 1); table.put(grant{lease: l}) {
			t.Fatal("a closed table takes leases")
		} else {
			l.Release()
		}
		chunk.Release()
		if out, _ := pool.Held(); out != 0 {
			t.Fatal("a lease was not released")
		}
	})
}

// Connections wait when the inbox is full; workers and callers never do.
func TestTheInboxIsBoundedForConnectionsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b inbox
		b.init()
		b.push(make([]item, inboxSize))
		pushed := make(chan bool, 2)
		go func() { pushed <- b.push(make([]item, 3)) }()
		b.post(item{}, item{})
		synctest.Wait()
		if len(pushed) != 0 {
			t.Fatal("a full inbox takes more")
		}
		if n := len(b.swap(nil)); n != inboxSize+2 {
			t.Fatal(n)
		}
		if !<-pushed || len(b.swap(nil)) != 3 {
			t.Fatal("what waited did not come in")
		}
		b.push(make([]item, inboxSize))
		go func() { pushed <- b.push(make([]item, 1)) }()
		synctest.Wait()
		b.close()
		if <-pushed || b.post(item{}) {
			t.Fatal("a closed inbox takes items")
		}
	})
}

func BenchmarkInbox(b *testing.B) {
	b.ReportAllocs()
	var in inbox
	in.init()
	items := make([]item, 4)
	var spare []item
	for b.Loop() {
		in.push(items)
		got := in.swap(spare)
		clear(got)
		spare = got[:0]
	}
}
