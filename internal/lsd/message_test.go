package lsd

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/id"
)

func hashes(n int) (list []id.ID) {
	for i := range n {
		list = append(list, id.ID{0: 0xab, 18: byte(i >> 8), 19: byte(i)})
	}
	return list
}

func TestMessageHasTheFormOfBEP14(t *testing.T) {
	m := Message{Port: 6881, Hashes: hashes(2), Cookie: "1234abcd"}
	want := "BT-SEARCH * HTTP/1.1\r\n" +
		"Host: 239.192.152.143:6771\r\n" +
		"Port: 6881\r\n" +
		"Infohash: ab00000000000000000000000000000000000000\r\n" +
		"Infohash: ab00000000000000000000000000000000000001\r\n" +
		"cookie: 1234abcd\r\n" +
		"\r\n\r\n"
	if got := string(Append(nil, Group4, m)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(Append(nil, Group6, m)); !strings.Contains(got, "\r\nHost: [ff15::efc0:988f]:6771\r\n") {
		t.Errorf("%q has not the IPv6 group as its host", got)
	}
}

// BEP 14: "the packet length should not exceed 1400 bytes".
func TestLongestMessageStaysWithin1400Bytes(t *testing.T) {
	m := Message{Port: 65535, Hashes: hashes(MaxHashes), Cookie: "12345678"}
	if n := len(Append(nil, Group4, m)); n > maxSent {
		t.Errorf("%d bytes", n)
	}
}

func TestParseIsLenient(t *testing.T) {
	const hash = "ab00000000000000000000000000000000000001"
	for name, text := range map[string]string{
		"BEP 14":           "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 7000\r\nInfohash: " + hash + "\r\ncookie: x\r\n\r\n\r\n",
		"no last lines":    "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: " + hash + "\r\ncookie: x",
		"only line feeds":  "BT-SEARCH * HTTP/1.1\nPort: 7000\nInfohash: " + hash + "\ncookie: x\n",
		"other case":       "BT-SEARCH * HTTP/1.1\r\nPORT:7000\r\nINFOHASH:" + strings.ToUpper(hash) + "\r\nCookie:x\r\n\r\n",
		"unknown headers":  "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nFuture: yes: no\r\nInfohash: " + hash + "\r\n\r\ncookie: x\r\n",
		"repeated":         "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: " + hash + "\r\nInfohash: " + strings.ToUpper(hash) + "\r\ncookie: x\r\n\r\n\r\n",
		"invalid infohash": "BT-SEARCH * HTTP/1.1\r\nPort: 7000\r\nInfohash: 12\r\nInfohash: " + strings.Repeat("z", 40) + "\r\nInfohash: " + hash + "\r\ncookie: x\r\n",
	} {
		m, err := Parse([]byte(text))
		if err != nil || m.Port != 7000 || m.Cookie != "x" || !slices.Equal(m.Hashes, hashes(2)[1:]) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// BEP 14: "An announce may contain multiple, consecutive Infohash headers".
func TestParseReadsSeveralInfohashes(t *testing.T) {
	want := Message{Port: 1, Hashes: hashes(MaxHashes)}
	if m, err := Parse(Append(nil, Group6, want)); err != nil || !slices.Equal(m.Hashes, want.Hashes) {
		t.Error(m, err)
	}
}

func TestParseRejectsWhatIsNoAnnounce(t *testing.T) {
	const hash = "\r\nInfohash: ab00000000000000000000000000000000000001"
	for text, want := range map[string]Kind{
		"":                                                     NoAnnounce,
		"M-SEARCH * HTTP/1.1\r\nPort: 1" + hash:                NoAnnounce,
		"BT-SEARCH":                                            NoAnnounce,
		"BT-SEARCH * SPDY/1\r\nPort: 1" + hash:                 NoAnnounce,
		"BT-SEARCH * HTTP/1.1" + hash:                          BadPort,
		"BT-SEARCH * HTTP/1.1\r\nPort: 0" + hash:               BadPort,
		"BT-SEARCH * HTTP/1.1\r\nPort: 65536" + hash:           BadPort,
		"BT-SEARCH * HTTP/1.1\r\nPort: -1" + hash:              BadPort,
		"BT-SEARCH * HTTP/1.1\r\nPort: 1":                      NoHash,
		"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: 00":      NoHash,
		"BT-SEARCH * HTTP/1.1\r\n" + strings.Repeat(" ", 2048): TooLong,
	} {
		_, err := Parse([]byte(text))
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != want || e.Len != len(text) || e.Error() == "" {
			t.Errorf("%.60q: %v, want kind %d", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Append(nil, Group4, Message{Port: 6881, Hashes: hashes(3), Cookie: "abc"}))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\nport:1\ninfohash:ab00000000000000000000000000000000000001"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\n:\r\n::\r\nPort: 99999999999999999999\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if m.Port == 0 || len(m.Hashes) == 0 || len(m.Hashes) > maxParsed || len(m.Cookie) > maxCookie {
			t.Fatalf("%+v", m)
		}
		again, err := Parse(Append(nil, Group4, Message{Port: m.Port, Hashes: m.Hashes[:min(len(m.Hashes), MaxHashes)]}))
		if err != nil || again.Port != m.Port || !bytes.Equal(again.Hashes[0][:], m.Hashes[0][:]) {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}
