package pcp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/mono"
)

var (
	client  = netip.MustParseAddr("192.168.1.2")
	nonce   = Nonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	request = Mapping{Nonce: nonce, Protocol: TCP, Internal: 6881, External: netip.MustParseAddrPort("45.0.0.1:6882"), Lifetime: time.Hour}
)

const (
	nonceHex = "0102030405060708090a0b0c"
	mapHex   = "02010000" + "00000e10" + "00000000000000000000ffffc0a80102" + // header, lifetime 3600, client
		nonceHex + "06000000" + "1ae1" + "1ae2" + "00000000000000000000ffff2d000001"
	grantedHex = "02810000" + "00000078" + "00000007" + "000000000000000000000000" + // lifetime 120, epoch 7
		nonceHex + "06000000" + "1ae1" + "1ae3" + "00000000000000000000ffff2d000001"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestsAreAsTheRFCsDrawThem(t *testing.T) {
	remove := request
	remove.Lifetime = 0
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"MAP", AppendMap(nil, client, &request), mapHex},
		{"MAP without a suggested address", AppendMap(nil, client, &Mapping{Protocol: UDP, Internal: 1}),
			"02010000" + "00000000" + "00000000000000000000ffffc0a80102" + "000000000000000000000000" + "11000000" + "0001" + "0000" + "00000000000000000000ffff00000000"},
		{"MAP for IPv6", AppendMap(nil, netip.MustParseAddr("2001:db8::1"), &Mapping{Protocol: UDP, Internal: 1, Lifetime: time.Second}),
			"02010000" + "00000001" + "20010db8000000000000000000000001" + "000000000000000000000000" + "11000000" + "0001" + "0000" + "00000000000000000000000000000000"},
		{"ANNOUNCE", AppendAnnounce(nil, client), "02000000" + "00000000" + "00000000000000000000ffffc0a80102"},
		{"NAT-PMP address", AppendNATPMPAddress(nil), "0000"},
		{"NAT-PMP map", AppendNATPMPMap(nil, &request), "00020000" + "1ae1" + "1ae2" + "00000e10"},
		{"NAT-PMP remove", AppendNATPMPMap(nil, &remove), "00020000" + "1ae1" + "0000" + "00000000"},
	} {
		if !bytes.Equal(c.got, unhex(t, c.want)) {
			t.Errorf("%s: %x, want %s", c.name, c.got, c.want)
		}
	}
}

func TestTheGrantedMappingIsRead(t *testing.T) {
	m, epoch, err := ParseMap(unhex(t, grantedHex), &request)
	want := request
	want.External, want.Lifetime = netip.MustParseAddrPort("45.0.0.1:6883"), 2*time.Minute
	if err != nil || epoch != 7 || m != want {
		t.Errorf("%+v, %d, %v", m, epoch, err)
	}
	m, epoch, err = ParseNATPMPMap(unhex(t, "00820000"+"00000009"+"1ae1"+"1ae3"+"0000003c"), TCP)
	want = Mapping{Protocol: TCP, Internal: 6881, External: netip.MustParseAddrPort("0.0.0.0:6883"), Lifetime: time.Minute}
	if err != nil || epoch != 9 || m != want {
		t.Errorf("NAT-PMP: %+v, %d, %v", m, epoch, err)
	}
	ip, epoch, err := ParseNATPMPAddress(unhex(t, "00800000"+"0000000a"+"2d000001"))
	if err != nil || epoch != 10 || ip != netip.MustParseAddr("45.0.0.1") {
		t.Errorf("NAT-PMP: %v, %d, %v", ip, epoch, err)
	}
	if epoch, err := ParseAnnounce(unhex(t, "02800000"+"00000000"+"0000000b"+"000000000000000000000000")); epoch != 11 || err != nil {
		t.Errorf("ANNOUNCE: %d, %v", epoch, err)
	}
}

// RFC 6887, 11.4: a MAP response matches the request if the protocol, internal port and nonce are
// the same.
func TestAResponseToAnotherRequestIsNotRead(t *testing.T) {
	granted := unhex(t, grantedHex)
	for _, at := range []int{0, 1, headerLen, headerLen + 11, headerLen + 12, headerLen + 16} {
		b := bytes.Clone(granted)
		b[at] ^= 1
		if _, _, err := ParseMap(b, &request); !errors.Is(err, ErrMalformed) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	for n := range len(granted) {
		if _, _, err := ParseMap(granted[:n], &request); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, _, err := ParseMap(append(granted, make([]byte, MaxLen)...), &request); !errors.Is(err, ErrMalformed) {
		t.Errorf("too long: %v", err)
	}
	if _, _, err := ParseNATPMPMap(unhex(t, "00820000"+"00000009"+"1ae1"+"1ae3"+"0000003c"), UDP); !errors.Is(err, ErrMalformed) {
		t.Errorf("the response for TCP, read as one for UDP: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	refused := unhex(t, grantedHex)
	refused[3] = 8
	var e *ResultError
	if _, epoch, err := ParseMap(refused, &request); !errors.As(err, &e) || e.Code != 8 || e.IsVersion() || e.Lifetime != 2*time.Minute || epoch != 7 {
		t.Errorf("no resources: %v, epoch %d", err, epoch)
	}
	if _, _, err := ParseNATPMPAddress(unhex(t, "00800003"+"0000000a")); !errors.As(err, &e) || !e.IsNATPMP || e.Code != 3 {
		t.Errorf("NAT-PMP network failure: %v", err)
	}
	// RFC 6886, 3.5, and RFC 6887, 9: a server that knows the other version only.
	for _, b := range []string{"00810001", "00810001" + "0000000a", "01810001" + "00000000" + "00000007" + "000000000000000000000000"} {
		if _, _, err := ParseMap(unhex(t, b), &request); !errors.As(err, &e) || !e.IsVersion() {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestTheEpochShowsARestart(t *testing.T) {
	for _, c := range []struct {
		name   string
		ours   time.Duration
		theirs int64 // seconds
		isLost bool
	}{
		{"in step", time.Hour, 3600, false},
		{"a little slow", time.Hour, 3300, false},
		{"a little fast", time.Hour, 4000, false},
		{"one second back", 0, -1, false},
		{"back", time.Hour, -100, true},
		{"began anew and grew past", time.Hour, 60, true},
		{"ahead", time.Minute, 3600, true},
	} {
		var clock EpochClock
		if clock.Update(5, 10_000) {
			t.Errorf("%s: the first epoch says nothing", c.name)
		}
		if got := clock.Update(mono.Time(5).Add(c.ours), uint32(10_000+c.theirs)); got != c.isLost {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAnAnnouncementIsAResponseThatNobodyAskedFor(t *testing.T) {
	for text, want := range map[string]bool{
		"028000000000000000000000000000000000000000000000": true,  // PCP, of miniupnpd
		"008000000000000a2d000001":                         true,  // NAT-PMP
		"028000010000000000000000000000000000000000000000": false, // a refusal
		"008000030000000a2d000001":                         false,
		"00800001":                                         false,
		"020000000000000000000000000000000000ffffc0a80102": false, // a request
		"0000":     false,
		grantedHex: false,
		"":         false,
	} {
		if got := IsAnnouncement(unhex(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(unhex(f, grantedHex))
	f.Add(unhex(f, "00820000000000091ae11ae30000003c"))
	f.Add(unhex(f, "008000000000000a2d000001"))
	f.Add(unhex(f, "00810001"))
	f.Add(unhex(f, "0280000000000000"+"0000000b"+"000000000000000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _, err := ParseMap(b, &request); err == nil {
			// What was read is what a request with these values would have at the same place.
			if got := AppendMap(nil, client, &m); !bytes.Equal(got[headerLen:headerLen+NonceLen+1], b[headerLen:headerLen+NonceLen+1]) || !bytes.Equal(got[headerLen+16:], b[headerLen+16:headerLen+mapLen]) && !m.External.Addr().Is4() {
				t.Errorf("%x was read as %+v", b, m)
			}
		}
		if m, _, err := ParseNATPMPMap(b, UDP); err == nil {
			if got := AppendNATPMPMap(nil, &m); m.Lifetime > 0 && !bytes.Equal(got[4:], b[8:16]) {
				t.Errorf("%x was read as %+v", b, m)
			}
		}
		_, _, err := ParseNATPMPAddress(b)
		if _, announced := ParseAnnounce(b); IsAnnouncement(b) && err != nil && announced != nil {
			t.Errorf("%x is an announcement that cannot be read", b)
		}
	})
}
