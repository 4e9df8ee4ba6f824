package names

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"

	"seedbed/internal/dnstest"
	"seedbed/internal/netx"
	"seedbed/internal/sockstest"
)

func isTCP(w dns.ResponseWriter) bool { return w.RemoteAddr().Network() == "tcp" }

// reply returns a response with TXT records, each of the given strings.
func reply(q *dns.Msg, records ...[]string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	for _, strs := range records {
		m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: strs})
	}
	return m
}

func alias(from, to string) dns.RR {
	return &dns.CNAME{Hdr: dns.RR_Header{Name: from, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: to}
}

// ask returns what a server of a test has for _btpk.example.org.
func ask(t *testing.T, handle func(w dns.ResponseWriter, q *dns.Msg)) ([]string, error) {
	t.Helper()
	return newQuerier(dnstest.Serve(t, handle), netx.Outbound{}).txt(t.Context(), "_btpk.example.org")
}

func TestTheStringsOfARecordAreJoined(t *testing.T) {
	texts, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Name != "_btpk.example.org." || q.Question[0].Qtype != dns.TypeTXT || !q.RecursionDesired || q.IsEdns0() == nil || q.IsEdns0().UDPSize() != udpSize {
			t.Errorf("%v", q)
		}
		_ = w.WriteMsg(reply(q, []string{"btpk=" + keyA[:32], keyA[32:], " salt=01"}, []string{"other"}))
	})
	if err != nil || !slices.Equal(texts, []string{"btpk=" + keyA + " salt=01", "other"}) {
		t.Errorf("%q, %v", texts, err)
	}
}

// A response that does not fit a datagram comes over TCP, up to the limit of a message.
func TestLongResponsesComeOverTCP(t *testing.T) {
	long := strings.Repeat("x", 255)
	texts, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := reply(q, slices.Repeat([]string{long}, 200), []string{"btpk=" + keyA})
		if !isTCP(w) {
			m.Answer, m.Truncated = nil, true
		}
		_ = w.WriteMsg(m)
	})
	if err != nil || len(texts) != 2 || len(texts[0]) != 200*255 || texts[1] != "btpk="+keyA {
		t.Errorf("%d texts, %v", len(texts), err)
	}
}

func TestFailuresAreErrors(t *testing.T) {
	for code, want := range map[int]string{dns.RcodeServerFailure: "ServerFailure", dns.RcodeRefused: "Refused", dns.RcodeFormatError: "FormatError"} {
		_, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, code)) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, code := range []int{dns.RcodeNameError, dns.RcodeSuccess} {
		if texts, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, code)) }); texts != nil || err != nil {
			t.Errorf("a name without records: %q, %v", texts, err)
		}
	}
}

// Datagrams with another ID or question, and garbage, are ignored. The query is repeated if one is lost.
func TestForgedResponsesAreIgnored(t *testing.T) {
	var queries atomic.Int32
	texts, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if queries.Add(1) == 1 {
			return // lost
		}
		forged := func(change func(*dns.Msg)) {
			m := reply(q, []string{"btpk=" + keyB})
			change(m)
			_ = w.WriteMsg(m)
		}
		forged(func(m *dns.Msg) { m.Id++ })
		forged(func(m *dns.Msg) { m.Response = false })
		forged(func(m *dns.Msg) { m.Question[0].Name = "_btpk.example.net." })
		forged(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA })
		forged(func(m *dns.Msg) { m.Question = nil })
		_, _ = w.Write([]byte("garbage"))
		_ = w.WriteMsg(reply(q, []string{"btpk=" + keyA}))
	})
	if err != nil || !slices.Equal(texts, []string{"btpk=" + keyA}) || queries.Load() != 2 {
		t.Errorf("%q, %v, %d queries", texts, err, queries.Load())
	}
}

// Records of other names than the end of the alias are not believed.
func TestAliasesAreFollowed(t *testing.T) {
	texts, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := reply(q)
		switch q.Question[0].Name {
		case "_btpk.example.org.": // a server that adds only a part
			m.Answer = append(m.Answer, alias("_btpk.example.org.", "One.example.net."), alias("one.example.net.", "two.example.net."),
				&dns.TXT{Hdr: dns.RR_Header{Name: "foreign.example.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"btpk=" + keyB}})
		case "two.example.net.":
			m = reply(q, []string{"btpk=" + keyA})
		default:
			t.Errorf("asked for %v", q.Question[0])
		}
		_ = w.WriteMsg(m)
	})
	if err != nil || !slices.Equal(texts, []string{"btpk=" + keyA}) {
		t.Errorf("%q, %v", texts, err)
	}
}

func TestLoopsOfAliasesEnd(t *testing.T) {
	var queries atomic.Int32
	_, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		queries.Add(1)
		m := reply(q)
		m.Answer = append(m.Answer, alias("_btpk.example.org.", "b.example."), alias("b.example.", "_btpk.example.org."))
		_ = w.WriteMsg(m)
	})
	if !errors.Is(err, errAliases) || queries.Load() != 1 {
		t.Errorf("a loop in one response: %v, %d queries", err, queries.Load())
	}
	queries.Store(0)
	_, err = ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		queries.Add(1)
		m := reply(q)
		m.Answer = append(m.Answer, alias(q.Question[0].Name, "x"+q.Question[0].Name))
		_ = w.WriteMsg(m)
	})
	if !errors.Is(err, errAliases) || queries.Load() != maxAliases {
		t.Errorf("a chain without an end: %v, %d queries", err, queries.Load())
	}
}

// A server that closes the connection, or sends a part, has not answered.
func TestCutResponsesAreErrors(t *testing.T) {
	_, err := ask(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if isTCP(w) {
			_, _ = w.Write([]byte("x"))
			_ = w.Close()
			return
		}
		m := reply(q)
		m.Truncated = true
		_ = w.WriteMsg(m)
	})
	if !errors.Is(err, errForeign) {
		t.Error(err)
	}
}

// With a proxy, the server is asked through it over TCP, and no datagram is sent.
func TestTheProxyIsNotGoneAround(t *testing.T) {
	addr := netip.MustParseAddrPort(dnstest.Serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if !isTCP(w) {
			t.Error("asked over UDP")
		}
		_ = w.WriteMsg(reply(q, []string{"btpk=" + keyA}))
	}))
	proxy := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"dns.example": addr.Addr()}})
	server := netip.AddrPortFrom(addr.Addr(), addr.Port()).String()
	server = "dns.example" + server[strings.LastIndexByte(server, ':'):]
	texts, err := newQuerier(server, netx.Outbound{Proxy: proxy.Addr()}).txt(t.Context(), "_btpk.example.org")
	if err != nil || !slices.Equal(texts, []string{"btpk=" + keyA}) || !slices.Contains(proxy.Dialled(), server) {
		t.Errorf("%q, %v; the proxy dialled %v", texts, err, proxy.Dialled())
	}
}

func TestDNSOverHTTPS(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		q := new(dns.Msg)
		if err := q.Unpack(b); err != nil || q.Id != 0 || r.Method != http.MethodPost || r.Header.Get("Content-Type") != messageType {
			t.Errorf("%v: %v, %v", r, q, err)
		}
		out, _ := reply(q, []string{"btpk=" + keyA}).Pack()
		w.Header().Set("Content-Type", messageType)
		_, _ = w.Write(out)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/dns-query", answer)
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/dns-query", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("<html>")) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", messageType)
		for b := make([]byte, 1<<14); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	proxy := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"example.com": netip.MustParseAddr("127.0.0.1")}})
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for path, want := range map[string]string{"/dns-query": "", "/moved": "redirects", "/page": "not DNS over HTTPS", "/broken": "502", "/endless": "larger than"} {
		for base, out := range map[string]netx.Outbound{s.URL: {}, "https://example.com" + port: {Proxy: proxy.Addr()}} {
			h := newHTTPS(base+path, out)
			tr := h.client.Transport.(*http.Transport)
			tr.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
			texts, err := messages{h}.txt(t.Context(), "_btpk.example.org")
			if want == "" && (err != nil || !slices.Equal(texts, []string{"btpk=" + keyA})) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s%s: %q, %v", base, path, texts, err)
			}
			tr.CloseIdleConnections()
		}
	}
	if !slices.Contains(proxy.Dialled(), "example.com"+port) {
		t.Errorf("the proxy dialled %v", proxy.Dialled())
	}
	if _, err := (messages{newHTTPS(s.URL+"/dns-query", netx.Outbound{})}).txt(t.Context(), "_btpk.example.org"); err == nil {
		t.Error("a certificate of an unknown authority is accepted")
	}
}

// A response of any bytes is read in bounded time and space, without a panic.
func FuzzResponses(f *testing.F) {
	at := dnsmessage.MustNewName("_btpk.example.org.")
	q := new(dns.Msg).SetQuestion("_btpk.example.org.", dns.TypeTXT)
	query, err := newQuery(at)
	if err != nil {
		f.Fatal(err)
	}
	loop := reply(q)
	loop.Answer = append(loop.Answer, alias("_btpk.example.org.", "b.example."), alias("b.example.", "_btpk.example.org."))
	for _, m := range []*dns.Msg{q, reply(q, []string{"btpk=" + keyA, " salt=01"}), loop, new(dns.Msg).SetRcode(q, dns.RcodeNameError)} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = check(query, b)
		texts, _, err := readResponse(b, at)
		size := 0
		for _, text := range texts {
			size += len(text)
		}
		if err == nil && size > len(b) {
			t.Errorf("%d bytes have texts of %d", len(b), size)
		}
	})
}
