package socks5

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

// script is a proxy that says what it is told, and records what it was asked.
type script struct {
	io.Reader
	bytes.Buffer
}

func (s *script) Read(b []byte) (int, error) { return s.Reader.Read(b) }

func say(replies ...string) *script {
	return &script{Reader: strings.NewReader(strings.Join(replies, ""))}
}

const (
	noAuth   = "\x05\x00"
	password = "\x05\x02"
	granted  = "\x01\x00"
	success  = "\x05\x00\x00\x01\x0a\x00\x00\x01\x1a\xe1" // 10.0.0.1:6881
)

var peer = AddrOf(netip.MustParseAddrPort("192.0.2.7:6881"))

// RFC 1928, section 3 to 6.
func TestHandshake(t *testing.T) {
	for name, c := range map[string]struct {
		proxy      *script
		user, pass string
		cmd        Command
		to         Addr
		sent       string
		bound      string
	}{
		"connect to IPv4": {say(noAuth, success), "", "", Connect, peer,
			"\x05\x01\x00" + "\x05\x01\x00\x01\xc0\x00\x02\x07\x1a\xe1", "10.0.0.1:6881"},
		"connect to a name": {say(noAuth, success), "", "", Connect, Addr{Name: "a.example", Port: 80},
			"\x05\x01\x00" + "\x05\x01\x00\x03\x09a.example\x00\x50", "10.0.0.1:6881"},
		"connect to IPv6": {say(noAuth, success), "", "", Connect, AddrOf(netip.MustParseAddrPort("[2001:db8::1]:80")),
			"\x05\x01\x00" + "\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", "10.0.0.1:6881"},
		"associate with a password": {say(password, granted, success), "me", "secret", Associate, Addr{IP: netip.IPv4Unspecified()},
			"\x05\x02\x00\x02" + "\x01\x02me\x06secret" + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", "10.0.0.1:6881"},
		"a password that is not required": {say(noAuth, success), "me", "secret", Connect, peer,
			"\x05\x02\x00\x02" + "\x05\x01\x00\x01\xc0\x00\x02\x07\x1a\xe1", "10.0.0.1:6881"},
		"a bound name": {say(noAuth, "\x05\x00\x00\x03\x02ab\x1a\xe1"), "", "", Connect, peer, "", "invalid AddrPort"},
	} {
		bound, err := Handshake(c.proxy, c.user, c.pass, c.cmd, c.to)
		if err != nil || bound.String() != c.bound {
			t.Errorf("%s: %v, %v", name, bound, err)
		}
		if got := c.proxy.Buffer.String(); c.sent != "" && got != c.sent {
			t.Errorf("%s: sent %q, want %q", name, got, c.sent)
		}
	}
}

func TestHandshakeErrors(t *testing.T) {
	for name, c := range map[string]struct {
		proxy *script
		user  string
		want  error
	}{
		"a password is required": {say("\x05\xff"), "", ErrMethod},
		"a wrong password":       {say(password, "\x01\x01"), "me", ErrAuth},
		"a method nobody asked":  {say(password), "", ErrProtocol},
		"an HTTP server":         {say("HTTP/1.1 400 Bad Request\r\n"), "", ErrProtocol},
		"half a reply":           {say(noAuth, success[:7]), "", io.ErrUnexpectedEOF},
		"an unknown address":     {say(noAuth, "\x05\x00\x00\x09"), "", ErrProtocol},
		"nothing":                {say(), "", io.EOF},
	} {
		if _, err := Handshake(c.proxy, c.user, "x", Connect, peer); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var refused *ReplyError
	if _, err := Handshake(say(noAuth, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), "", "", Connect, peer); !errors.As(err, &refused) || refused.Reply != Refused {
		t.Errorf("%v", err)
	}
	if s := (&ReplyError{99}).Error(); !strings.Contains(s, "99") {
		t.Error(s)
	}
}

// Handshake leaves what follows the reply to the connection.
func TestHandshakeReadsNothingElse(t *testing.T) {
	s := say(noAuth, success, "next")
	if _, err := Handshake(s, "", "", Connect, peer); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(s); string(rest) != "next" {
		t.Errorf("%q is left", rest)
	}
}

// RFC 1928, section 7.
func TestDatagramHeader(t *testing.T) {
	for _, a := range []string{"192.0.2.7:6881", "[2001:db8::1]:80"} {
		want := netip.MustParseAddrPort(a)
		b := append(AppendHeader(nil, AddrOf(want)), "payload"...)
		from, payload, err := ParseHeader(b)
		if err != nil || from != want || string(payload) != "payload" {
			t.Errorf("%v %q %v", from, payload, err)
		}
		b[2] = 1 // a fragment
		if _, _, err := ParseHeader(b); !errors.Is(err, ErrHeader) {
			t.Errorf("fragment: %v", err)
		}
	}
	named := AppendHeader(nil, Addr{Name: strings.Repeat("n", maxName), Port: 1})
	if len(named) != MaxHeader {
		t.Errorf("%d bytes, want %d", len(named), MaxHeader)
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, peer))
	f.Add(append(AppendHeader(nil, AddrOf(netip.MustParseAddrPort("[2001:db8::1]:80"))), "d1:y"...))
	f.Add([]byte{0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		from, payload, err := ParseHeader(b)
		if err != nil {
			return
		}
		// A mapped address is written as IPv4, which is shorter.
		if again := append(AppendHeader(nil, AddrOf(from)), payload...); !bytes.Equal(again, b) && len(again) >= len(b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzHandshake(f *testing.F) {
	f.Add([]byte(noAuth + success))
	f.Add([]byte(password + granted + success))
	f.Add([]byte(noAuth + "\x05\x00\x00\x03\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{Reader: bytes.NewReader(b)}
		if _, err := Handshake(s, "me", "secret", Connect, peer); err == nil && len(b) < len(noAuth)+4+1+2 {
			t.Errorf("accepted %x", b)
		}
	})
}
