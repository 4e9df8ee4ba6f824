package sealed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"testing"
)

// vectors returns the test vectors of docs/privacy.md, by name.
func vectors() map[string]string {
	var random, seed [SecretLen]byte
	for i := range random {
		random[i], seed[i] = byte(i), byte(0x20+i)
	}
	s := NewSecret(random)
	k := s.Keys()
	sum := func(seal func(*bytes.Buffer) error) string {
		var b bytes.Buffer
		if err := seal(&b); err != nil {
			panic(err)
		}
		h := sha256.Sum256(b.Bytes())
		return hex.EncodeToString(h[:])
	}
	blob := func(plain []byte) func(*bytes.Buffer) error {
		return func(b *bytes.Buffer) error {
			return k.Seal(b, bytes.NewReader(plain), int64(len(plain)), k.BlobName([]string{"a", "b.txt"}))
		}
	}
	value, err := s.SealValue([]byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	if err != nil {
		panic(err)
	}
	return map[string]string{
		"R":             hex.EncodeToString(s.key[:]),
		"x.read":        s.Text(),
		"K":             hex.EncodeToString(s.keepKey()),
		"x.keep":        s.ToKeep().Text(),
		"salt":          string(s.Salt()),
		"public key":    hex.EncodeToString(s.SigningKey(seed[:]).Public().(ed25519.PublicKey)),
		"sealed value":  hex.EncodeToString(value),
		"torrent name":  k.TorrentName(),
		"manifest name": k.ManifestName(),
		"blob name":     k.BlobName([]string{"a", "b.txt"}),
		"small blob":    sum(blob([]byte("hello\n"))),
		"large blob":    sum(blob(make([]byte, 600_000))),
		"manifest":      sum(func(b *bytes.Buffer) error { return k.SealManifest(b, []byte("d4:name1:ae")) }),
	}
}

// The test vectors in docs/privacy.md are what the code computes, all of them.
func TestVectorsOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	want := vectors()
	for _, m := range regexp.MustCompile("(?m)^\\| ([a-zA-Z. ]+) \\|[^|]*\\| `([0-9a-z]+)` \\|$").FindAllSubmatch(doc, -1) {
		name, value := string(m[1]), string(m[2])
		if want[name] != value {
			t.Errorf("%s is %s in the docs; the code computes %s", name, value, want[name])
		}
		delete(want, name)
	}
	for name, value := range want {
		t.Errorf("the docs have no vector for %s: %s", name, value)
	}
}
