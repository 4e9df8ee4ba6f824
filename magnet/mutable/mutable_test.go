package mutable

import (
	"testing"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// Read reads the values that Value writes; it ignores other entries.
func TestBEP46ValuesNameAnInfohash(t *testing.T) {
	info := &metainfo.Info{Hash: id.ID{1, 2, 3}}
	l := Link([32]byte{7}, nil, "")
	if v, err := Read(l, Value(info)); err != nil || v.InfoHash != info.Hash {
		t.Errorf("%v, %v", v, err)
	}
	for _, bad := range []string{"i1e", "de", "d2:ih3:abce", "d2:ihi1ee", "d2:ih20:\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00e"} {
		if v, err := Read(l, bencode.Value(bad)); err == nil {
			t.Errorf("%q: %v", bad, v)
		}
	}
	if _, err := Read(l, bencode.Value("d1:a1:x2:ih20:aaaaaaaaaaaaaaaaaaaa1:zi1ee")); err != nil {
		t.Error(err)
	}
}

// A link to one version has the hints of the link with the key, but not the key.
func TestPinnedLinksKeepTheHints(t *testing.T) {
	l := Link([32]byte{7}, []byte("salt"), "name")
	l.Peers = []string{"192.0.2.1:6881"}
	p := Pin(l, id.ID{9})
	if p.HasPublicKey || !p.HasInfoHash || p.InfoHash != (id.ID{9}) || len(p.Peers) != 1 || p.Name != "name" {
		t.Errorf("%+v", p)
	}
	if _, err := magnet.Parse(l.String()); err != nil {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Add([]byte("d2:ih3:abce"))
	f.Add([]byte("d1:x2:ih2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := bencode.Parse(b, bencode.Limits{Depth: 32})
		if err != nil || len(rest) > 0 {
			return
		}
		version, err := Read(Link([32]byte{7}, nil, ""), v)
		if (err == nil) == version.InfoHash.IsZero() {
			t.Errorf("%q: %v, %v", b, version, err)
		}
	})
}
