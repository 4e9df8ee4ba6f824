package dht

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2"
	akrpc "github.com/anacrolix/dht/v2/krpc"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// hardTimeout is when a query of ours has failed.
const hardTimeout = 3 * time.Second

// engine is dht.Server as a query engine: it encodes our queries, limits their
// rate, matches and decodes responses. It is told nothing else, and with no
// starting nodes and every response marked read-only its own table stays
// empty. It lives as long as one node id.
type engine struct {
	server *dht.Server
	pipe   *pipe
}

func newEngine(node id.ID, readOnly bool, limiter *rate.Limiter, local netip.AddrPort, send func(b []byte, to netip.AddrPort) error) (*engine, error) {
	p := &pipe{in: make(chan packet, 256), closed: make(chan struct{}), local: net.UDPAddrFromAddrPort(local), send: send}
	logger := alog.NewLogger().WithFilterLevel(alog.Disabled)
	logger.Handlers = []alog.Handler{alog.DiscardHandler}
	s, err := dht.NewServer(&dht.ServerConfig{
		NodeId:           akrpc.ID(node),
		Conn:             p,
		Passive:          readOnly, // BEP 43: marks our queries
		NoSecurity:       true,     // the table judges ids
		StartingNodes:    func() ([]dht.Addr, error) { return nil, nil },
		QueryResendDelay: func() time.Duration { return hardTimeout },
		SendLimiter:      limiter,
		Logger:           logger,
	})
	if err != nil {
		return nil, err
	}
	return &engine{server: s, pipe: p}, nil
}

// query asks one node and waits for its answer, hardTimeout or ctx.
func (e *engine) query(ctx context.Context, to netip.AddrPort, method string, args akrpc.MsgArgs) (*akrpc.Return, error) {
	res := e.server.Query(ctx, dht.NewAddr(net.UDPAddrFromAddrPort(to)), method, dht.QueryInput{MsgArgs: args, NumTries: 1})
	if res.Err != nil {
		return nil, res.Err
	}
	if e := res.Reply.Error(); e != nil {
		return nil, *e
	}
	if res.Reply.R == nil {
		return nil, errNoReturn
	}
	return res.Reply.R, nil
}

// close ends the server; its reader leaves by itself.
func (e *engine) close() {
	e.server.Close()
	e.pipe.Close()
}

// pipe is the virtual packet connection between us and the engine.
type pipe struct {
	in     chan packet
	once   sync.Once
	closed chan struct{}
	local  net.Addr
	send   func(b []byte, to netip.AddrPort) error
}

type packet struct {
	b    []byte
	from net.Addr
}

// deliver hands a response to the engine; false if it is too busy.
func (p *pipe) deliver(b []byte, from netip.AddrPort) bool {
	select {
	case p.in <- packet{b, net.UDPAddrFromAddrPort(from)}:
		return true
	default:
		return false
	}
}

func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case m := <-p.in:
		return copy(b, m.b), m.from, nil
	case <-p.closed:
		return 0, nil, net.ErrClosed
	}
}

func (p *pipe) WriteTo(b []byte, to net.Addr) (int, error) {
	if err := p.send(b, to.(*net.UDPAddr).AddrPort()); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) LocalAddr() net.Addr              { return p.local }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// outbound turns a query as the engine wrote it into the one that we send: our
// transaction id in place of its counter, and our version. It returns the
// engine's transaction id.
func outbound(dst, b []byte, t []byte) (out []byte, inner string, ok bool) {
	v, _, err := bencode.Parse(b, bencode.Limits{})
	if err != nil {
		return nil, "", false
	}
	dst = append(dst, 'd')
	for key, val := range v.Dict() {
		if string(key) == "t" {
			s, _ := val.Bytes()
			inner = string(s)
			continue
		}
		if string(key) == "y" {
			dst = bencode.AppendBytes(append(dst, "1:t"...), t)
			dst = bencode.AppendString(append(dst, "1:v"...), krpc.Version)
		}
		dst = append(bencode.AppendBytes(dst, key), val...)
	}
	return append(dst, 'e'), inner, true
}

// inbound is a checked response as the engine shall see it: what the traversal
// uses and nothing more, under the engine's transaction id. BEP 43's mark keeps
// the sender out of the engine's own table.
func inbound(m *krpc.Message, inner string) []byte {
	r := &m.Response
	b := make([]byte, 0, 128+len(r.Nodes)+len(r.Nodes6)+len(r.Values)+len(r.Token))
	b = append(b, 'd')
	if m.Y == 'e' {
		b = bencode.AppendInt(append(b, "1:el"...), int64(int32(m.Error.Code)))
		b = bencode.AppendBytes(b, m.Error.Text[:min(len(m.Error.Text), 200)])
		b = append(b, 'e')
	} else {
		b = append(b, "1:rd2:id20:"...)
		b = append(b, r.ID[:]...)
		for _, f := range [...]struct {
			key string
			val []byte
		}{{"nodes", r.Nodes}, {"nodes6", r.Nodes6}, {"token", r.Token}} {
			if len(f.val) > 0 {
				b = bencode.AppendBytes(bencode.AppendString(b, f.key), f.val)
			}
		}
		if len(r.Values) > 0 {
			b = append(append(b, "6:values"...), r.Values...)
		}
		b = append(b, 'e')
	}
	b = bencode.AppendString(append(b, "2:roi1e1:t"...), inner)
	b = append(b, "1:y1:"...)
	return append(b, m.Y, 'e')
}
