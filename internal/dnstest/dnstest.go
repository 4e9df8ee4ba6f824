// Package dnstest has DNS servers for tests: of a handler, and of a zone of TXT records.
package dnstest

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Serve answers DNS queries at a free port of loopback, over UDP and TCP, until the test ends. It returns the
// HOST:PORT.
func Serve(t testing.TB, handle func(w dns.ResponseWriter, q *dns.Msg)) string {
	t.Helper()
	udp, tcp := listen(t)
	for _, s := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		s.Handler = dns.HandlerFunc(handle)
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		var running sync.WaitGroup
		running.Go(func() { _ = s.ActivateAndServe() })
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			running.Wait()
		})
	}
	return udp.LocalAddr().String()
}

// listen returns sockets at one port that is free for UDP and TCP.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return udp, tcp
		}
		tcp.Close()
	}
}

// Zone is a DNS server with TXT records.
type Zone struct {
	// Addr is its HOST:PORT.
	Addr string

	mu      sync.Mutex
	records map[string][]string
}

// Start starts a Zone without records.
func Start(t testing.TB) *Zone {
	z := &Zone{records: map[string][]string{}}
	z.Addr = Serve(t, z.answer)
	return z
}

// Set replaces the TXT records of a name; without texts, the name does not exist. Each text is one record
// and has at most 255 bytes.
func (z *Zone) Set(name string, texts ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = texts
}

func (z *Zone) answer(w dns.ResponseWriter, q *dns.Msg) {
	name := q.Question[0].Name
	z.mu.Lock()
	texts := z.records[strings.TrimSuffix(name, ".")]
	z.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	if len(texts) == 0 {
		m.Rcode = dns.RcodeNameError
	}
	for _, text := range texts {
		m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}})
	}
	_ = w.WriteMsg(m)
}
