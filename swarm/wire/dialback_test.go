package wire

import (
	"strings"
	"testing"

	"seedbed/internal/id"
)

func TestDialBack(t *testing.T) {
	token := id.ID([]byte("abcdefghijklmnopqrst"))
	for _, tt := range []struct {
		payload string
		want    DialBackMsg
	}{
		{"\x00\x03\x1a\xe1" + string(token[:]), DialBackMsg{Transports: DialBackTCP | DialBackUTP, Port: 6881, Token: token}},
		{"\x01\x02\x00\x00" + string(token[:]), DialBackMsg{Type: DialBackResult, Transports: DialBackUTP, Token: token}},
		{"\x01\x01\x00\x02" + string(token[:]), DialBackMsg{Type: DialBackResult, Transports: DialBackTCP, Outcome: DialBackTimedOut, Token: token}},
	} {
		if m, err := ParseDialBack([]byte(tt.payload)); err != nil || m != tt.want {
			t.Errorf("%x: %+v, %v", tt.payload, m, err)
		}
		if b := AppendDialBack(nil, tt.want); string(b) != tt.payload {
			t.Errorf("%+v is written as %x", tt.want, b)
		}
	}
	if m, err := ParseDialBack([]byte("\x02whatever")); err != nil || m != (DialBackMsg{Type: 2}) {
		t.Errorf("another type: %+v, %v", m, err)
	}
	rest := strings.Repeat("x", id.Len)
	for payload, kind := range map[string]Kind{
		"":                              BadLength,
		"\x00\x01\x1a\xe1" + rest[1:]:   BadLength,
		"\x00\x01\x1a\xe1" + rest + "x": BadLength,
		"\x00\x00\x1a\xe1" + rest:       BadField, // no transport
		"\x00\x04\x1a\xe1" + rest:       BadField,
		"\x00\x01\x00\x00" + rest:       BadField, // no port
		"\x01\x01\x00\x04" + rest:       BadField,
		"\x01\x01\x01\x00" + rest:       BadField,
	} {
		if _, err := ParseDialBack([]byte(payload)); kindOf(err) != kind {
			t.Errorf("%x: %v", payload, err)
		}
	}
}

func FuzzParseDialBack(f *testing.F) {
	f.Add(AppendDialBack(nil, DialBackMsg{Transports: DialBackTCP, Port: 6881}))
	f.Add(AppendDialBack(nil, DialBackMsg{Type: DialBackResult, Transports: DialBackUTP, Outcome: DialBackNotTried}))
	f.Add([]byte{7})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseDialBack(b)
		if err != nil || m.Type > DialBackResult {
			return
		}
		if again := AppendDialBack(nil, m); string(again) != string(b) {
			t.Fatalf("%+v is written as %x, not %x", m, again, b)
		}
	})
}
