package mutable

import (
	"bytes"
	"strings"
	"testing"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// Read reads the values that Value writes; it ignores other entries.
func TestBEP46ValuesNameAnInfohash(t *testing.T) {
	info := &metainfo.Info{Hash: id.ID{1, 2, 3}}
	l := Link([32]byte{7}, nil, "")
	if v, err := Read(l, valueOf(info)); err != nil || v.InfoHash != info.Hash {
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
	l.Secret = sealed.NewSecret([sealed.SecretLen]byte{1})
	if p := Pin(l, id.ID{9}); p.Name != "" || !p.Secret.IsZero() {
		t.Errorf("of a private publication: %+v", p)
	}
}

// The value of a private publication opens with both of its secrets, and with no other link.
func TestSealedValues(t *testing.T) {
	secret := sealed.NewSecret([sealed.SecretLen]byte{1})
	info := &metainfo.Info{Hash: id.ID{1, 2, 3}}
	public := Link([32]byte{7}, nil, "")
	v, err := Seal(secret, valueOf(info))
	if err != nil || bytes.Contains(v, info.Hash[:]) {
		t.Fatalf("%q, %v", v, err)
	}
	for _, s := range []sealed.Secret{secret, secret.ToKeep()} {
		if got, err := Read(public.WithSecret(s), v); err != nil || got.InfoHash != info.Hash {
			t.Errorf("with the %v: %v, %v", s, got, err)
		}
	}
	wrong := func(l *magnet.Link, v bencode.Value, want error) {
		t.Helper()
		if got, err := Read(l, v); err != want {
			t.Errorf("%v, %v instead of %v", got, err, want)
		}
	}
	wrong(public, v, ErrPrivate)
	wrong(public.WithSecret(sealed.NewSecret([sealed.SecretLen]byte{2})), v, sealed.ErrValue)
	wrong(public.WithSecret(secret), valueOf(info), ErrNotSealed)
	for _, inner := range []string{"", "de", "i1e", "d2:ih20:aaaaaaaaaaaaaaaaaaaaex", strings.Repeat("l", 500)} {
		v, err := Seal(secret, bencode.Value(inner))
		if err != nil {
			t.Fatal(err)
		}
		wrong(public.WithSecret(secret), v, ErrNoTorrent)
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
		_, _ = Read(Link([32]byte{7}, nil, "").WithSecret(sealed.NewSecret([sealed.SecretLen]byte{1})), v)
		version, err := Read(Link([32]byte{7}, nil, ""), v)
		if (err == nil) == version.InfoHash.IsZero() {
			t.Errorf("%q: %v, %v", b, version, err)
		}
	})
}

func valueOf(info *metainfo.Info) bencode.Value {
	v := VersionOf(info, 1)
	return v.Value()
}
