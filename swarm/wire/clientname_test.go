package wire

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"seedbed/internal/id"
)

func TestClientNamesComeFromPeerIDs(t *testing.T) {
	for text, want := range map[string]string{
		"-qB4520-abcdefghijkl":   "qBittorrent 4.5.2",
		"-TR3000-abcdefghijkl":   "Transmission 3.0",
		"-TR4060-abcdefghijkl":   "Transmission 4.0.6",
		"-LT1A10-abcdefghijkl":   "libtorrent 1.10.1",
		"-DE211s-abcdefghijkl":   "Deluge 2.1.1",
		"-Zz9900-abcdefghijkl":   "Zz 9.9",
		"-UT----------------- ":  "µTorrent",
		"M7-10-5--abcdefghijk":   "",
		"-\x1b]1234-abcdefghijk": "",
		"                    ":   "",
	} {
		var peer id.ID
		copy(peer[:], text)
		if got := ClientName(peer); got != want {
			t.Errorf("%q is %q, not %q", text, got, want)
		}
	}
}

func FuzzClientName(f *testing.F) {
	f.Add([]byte("-qB4520-abcdefghijkl"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 20 {
			return
		}
		name := ClientName(id.ID(b[:20]))
		if len(name) > 40 || !utf8.ValidString(name) {
			t.Errorf("%q", name)
		}
		for _, r := range name {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", name, r)
			}
		}
	})
}
