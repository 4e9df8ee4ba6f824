package wire

import (
	"net/netip"
	"testing"
)

func TestHolepunchOfBEP55(t *testing.T) {
	four, six := netip.MustParseAddrPort("1.2.3.4:6881"), netip.MustParseAddrPort("[2001:db8::1]:6881")
	for _, tt := range []struct {
		name, payload string
		want          HolepunchMsg
	}{
		{"rendezvous", "\x00\x00\x01\x02\x03\x04\x1a\xe1\x00\x00\x00\x00", HolepunchMsg{Addr: four}},
		{"connect to IPv6", "\x01\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1\x00\x00\x00\x00",
			HolepunchMsg{Type: HolepunchConnect, Addr: six}},
		{"error", "\x02\x00\x01\x02\x03\x04\x1a\xe1\x00\x00\x00\x02", HolepunchMsg{Type: HolepunchError, Addr: four, Err: NotConnected}},
	} {
		got, err := ParseHolepunch([]byte(tt.payload))
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		if b := AppendHolepunch(nil, tt.want); string(b) != tt.payload {
			t.Errorf("%s: written as %x", tt.name, b)
		}
	}
	if m, err := ParseHolepunch([]byte("\x01\x00\x01\x02\x03\x04\x1a\xe1")); err != nil || m.Addr != four {
		t.Errorf("as libtorrent sends it: %+v, %v", m, err)
	}
	for name, payload := range map[string]string{
		"nothing":            "",
		"no address":         "\x00\x00",
		"short":              "\x00\x00\x01\x02\x03\x04\x1a",
		"long":               "\x00\x00\x01\x02\x03\x04\x1a\xe1\x00\x00\x00\x00\x00",
		"error without code": "\x02\x00\x01\x02\x03\x04\x1a\xe1",
		"IPv6 too short":     "\x00\x01\x01\x02\x03\x04\x1a\xe1\x00\x00\x00\x00",
	} {
		if _, err := ParseHolepunch([]byte(payload)); kindOf(err) != BadLength {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseHolepunch([]byte("\x00\x02\x01\x02\x03\x04\x1a\xe1")); kindOf(err) != BadField {
		t.Error(err)
	}
}

func FuzzParseHolepunch(f *testing.F) {
	f.Add(AppendHolepunch(nil, HolepunchMsg{Type: 1, Addr: netip.MustParseAddrPort("1.2.3.4:5")}))
	f.Add(AppendHolepunch(nil, HolepunchMsg{Type: 2, Addr: netip.MustParseAddrPort("[::1]:5"), Err: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseHolepunch(b)
		if err != nil {
			if kindOf(err) == 0 {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		if again, err := ParseHolepunch(AppendHolepunch(nil, m)); err != nil || again != m {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}
