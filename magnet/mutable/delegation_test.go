package mutable

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

var owner = Link(id.ID32{1}, nil, "")

// value returns the value of an item with a statement.
func (d *Delegation) value(infohash id.ID) bencode.Value {
	return (&Version{InfoHash: infohash, Delegation: d}).Value()
}

// Read reads the statements that Value writes, with a torrent and without one.
func TestStatements(t *testing.T) {
	for _, d := range []Delegation{
		{Keys: []id.ID32{{2}, {3}}, Expiry: time.Unix(1_800_000_000, 0), Number: 7},
		{Keys: []id.ID32{{2}}, Expiry: time.Unix(1, 0)},
		{Expiry: time.Unix(maxExpiry, 0)},
	} {
		for _, ih := range []id.ID{{9}, {}} {
			v, err := Read(owner, d.value(ih))
			if (err == nil) == ih.IsZero() || v.InfoHash != ih || v.Delegation == nil {
				t.Fatalf("%+v, %v", v, err)
			}
			if got := v.Delegation; !slices.Equal(got.Keys, d.Keys) || !got.Expiry.Equal(d.Expiry) || got.Number != d.Number {
				t.Errorf("%+v, want %+v", got, d)
			}
		}
	}
}

// A statement that is malformed names nobody; the item is still a version.
func TestMalformedStatements(t *testing.T) {
	key := func(b byte) string { return "32:" + strings.Repeat(string(rune(b)), 32) }
	keys := func(n int) (s string) {
		for i := range n {
			s += key(byte('a' + i))
		}
		return "l" + s + "e"
	}
	for _, c := range []struct {
		d     string
		names int // -1: no statement
	}{
		{"d1:ei9e1:k" + keys(1) + "e", 1},
		{"d1:ei9e1:k" + keys(MaxDelegates) + "e", MaxDelegates},
		{"d1:ei9e1:k" + keys(MaxDelegates+1) + "e", -1},
		{"d1:ei9e1:kl" + key('a') + key('a') + "32:\x01" + strings.Repeat("\x00", 31) + "e1:zdee", 1}, // twice; the owner
		{"d1:k" + keys(1) + "e", -1},
		{"d1:ei0e1:k" + keys(1) + "e", -1},
		{"d1:ei-1e1:k" + keys(1) + "e", -1},
		{fmt.Sprintf("d1:ei%de1:k%se", maxExpiry+1, keys(1)), -1},
		{"d1:e1:91:k" + keys(1) + "e", -1},
		{"d1:ei9e1:kl3:abcee", -1},
		{"d1:ei9e1:kli1eee", -1},
		{"d1:ei9e1:k3:abce", -1},
		{"d1:ei9e1:k" + keys(1) + "1:ni0ee", -1},
		{"d1:ei9e1:k" + keys(1) + "1:n1:1e", -1},
		{"le", -1},
		{"i1e", -1},
	} {
		v, err := Read(owner, bencode.Value("d1:d"+c.d+"2:ih20:aaaaaaaaaaaaaaaaaaaae"))
		names := -1
		if v.Delegation != nil {
			names = len(v.Delegation.Keys)
		}
		if err != nil || names != c.names {
			t.Errorf("%q: %d, %v; want %d", c.d, names, err, c.names)
		}
	}
}

// A statement is a value that DHT nodes store, whatever it names. BEP 44: "v: <any bencoded
// type, whose encoded size < 1000>".
func TestBEP44StatementsFitIntoAnItem(t *testing.T) {
	d := Delegation{Expiry: time.Unix(maxExpiry, 0), Number: 1<<63 - 1}
	for i := range MaxDelegates {
		d.Keys = append(d.Keys, id.ID32{byte(i + 2)})
	}
	v := d.value(id.ID{1})
	if _, err := bencode.ParseStrict(v, bencode.Limits{Depth: 8}); err != nil || len(v) > 400 {
		t.Error(len(v), err)
	}
}

func FuzzReadDelegation(f *testing.F) {
	one := Delegation{Keys: []id.ID32{{2}}, Expiry: time.Unix(9, 0), Number: 3}
	f.Add([]byte(one.value(id.ID{1})))
	f.Add([]byte("d1:dd1:ei9e1:kl3:abcee2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Add([]byte("d1:dd1:ki1eee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := bencode.Parse(b, bencode.Limits{Depth: 32})
		if err != nil || len(rest) > 0 {
			return
		}
		version, err := Read(owner, v)
		if err != nil && !errors.Is(err, ErrNoTorrent) {
			t.Fatal(err)
		}
		d := version.Delegation
		if d == nil {
			return
		}
		if len(d.Keys) > MaxDelegates || slices.Contains(d.Keys, owner.PublicKey) {
			t.Fatalf("%+v", d)
		}
		again, _ := Read(owner, d.value(version.InfoHash))
		if !bytes.Equal(again.Delegation.value(version.InfoHash), d.value(version.InfoHash)) {
			t.Errorf("%+v became %+v", d, again.Delegation)
		}
	})
}
