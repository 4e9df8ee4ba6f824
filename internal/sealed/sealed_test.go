package sealed

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func secretOf(seed byte) Secret {
	var random [SecretLen]byte
	for i := range random {
		random[i] = seed + byte(i)
	}
	return NewSecret(random)
}

func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

func TestSecretsAreReadAsTheyAreWritten(t *testing.T) {
	read := secretOf(1)
	for _, s := range []Secret{read, read.ToKeep()} {
		text := s.Text()
		for _, in := range []string{text, strings.ToUpper(text)} {
			if got, err := ParseSecret(s.Kind(), in); err != nil || got != s {
				t.Errorf("%s: %v, %v", in, got, err)
			}
		}
	}
	if read.ToKeep().ToKeep() != read.ToKeep() || !bytes.Equal(read.Salt(), read.ToKeep().Salt()) {
		t.Error("the secret to keep is not the same from both secrets")
	}
}

// Every changed or missing character of a secret is recognised, and one secret in place of the
// other.
func TestMistypedSecretsAreRecognised(t *testing.T) {
	read := secretOf(2)
	text := read.Text()
	bad := []string{"", "1", text[:len(text)-1], text + "a", "0" + text[1:], read.ToKeep().Text(), text[:20] + "!" + text[21:]}
	for i := 1; i < len(text); i++ {
		c := byte('a')
		if text[i] == c {
			c = 'b'
		}
		bad = append(bad, text[:i]+string(c)+text[i+1:])
	}
	for _, in := range bad {
		_, err := ParseSecret(Read, in)
		var se *SecretError
		if !errors.As(err, &se) {
			t.Errorf("%q: %v", in, err)
		}
	}
	var ve *VersionError
	if _, err := ParseSecret(Read, "2"+text[1:]); !errors.As(err, &ve) {
		t.Errorf("a secret of the next version: %v", err)
	}
}

// Neither the secret to keep nor what is derived from it contains the secret to read, and no
// form of printing shows a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	s := secretOf(3)
	for _, text := range []string{s.String(), s.GoString(), s.ToKeep().String()} {
		if strings.Contains(text, s.Text()[5:15]) || !strings.HasPrefix(text, "secret to ") {
			t.Error(text)
		}
	}
	if s.SigningKey([]byte("a")).Equal(s.SigningKey([]byte("b"))) || s.SigningKey([]byte("a")).Equal(secretOf(4).SigningKey([]byte("a"))) {
		t.Error("two publications have the same key")
	}
}

func TestValuesOpenWithBothSecretsOnly(t *testing.T) {
	s := secretOf(5)
	for _, n := range []int{0, 1, 30, 126, 127, MaxValuePlain} {
		plain := randomBytes(1, n)
		box, err := s.SealValue(plain)
		if err != nil || len(box) > maxValue {
			t.Fatalf("%d bytes: %d bytes, %v", n, len(box), err)
		}
		if n < MaxValuePlain-valueUnit && (len(box)-1-Overhead)%valueUnit != 0 {
			t.Errorf("%d bytes are not padded: %d", n, len(box))
		}
		for _, with := range []Secret{s, s.ToKeep()} {
			if got, err := with.OpenValue(box); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes with the %v: %v", n, with, err)
			}
		}
		if _, err := secretOf(6).OpenValue(box); err != ErrValue {
			t.Errorf("another secret: %v", err)
		}
		for i := range box {
			flipped := bytes.Clone(box)
			flipped[i] ^= 1
			if _, err := s.OpenValue(flipped); err == nil {
				t.Errorf("byte %d is flipped, and nobody notices", i)
			}
		}
		if _, err := s.OpenValue(box[:len(box)-1]); err != ErrValue {
			t.Errorf("cut: %v", err)
		}
	}
	if _, err := s.SealValue(make([]byte, MaxValuePlain+1)); err != ErrValueLen {
		t.Error(err)
	}
}

// Padmé adds at most 12 %, never makes a size smaller, and maps a padded size to itself.
func TestSizesArePadded(t *testing.T) {
	for n := int64(1); n < 1<<42; n += 1 + n/7 {
		size := BlobSize(n)
		content := n + Overhead*((n+Payload-1)/Payload)
		if size < content || size < minBlob || n > 1<<20 && float64(size) > 1.13*float64(content) || size > BlockSize && size%BlockSize != 0 {
			t.Fatalf("%d: %d", n, size)
		}
		if p := padme(n); padme(p) != p || p < n {
			t.Fatalf("padme(%d) = %d, and of that %d", n, p, padme(p))
		}
	}
	for n, want := range map[int64]int64{1: 1, 2: 2, 7: 7, 8: 8, 9: 10, 100: 104, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1<<15} {
		if got := padme(n); got != want {
			t.Errorf("padme(%d) = %d, not %d", n, got, want)
		}
	}
}

var lengths = []int64{1, 15, 1008, 1009, Payload - 1, Payload, Payload + 1, 9 * Payload, 9*Payload + 5, 100*Payload + 77}

func sealFile(t *testing.T, k *Keys, plain []byte, blob string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := k.Seal(&b, bytes.NewReader(plain), int64(len(plain)), blob); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != BlobSize(int64(len(plain))) {
		t.Fatalf("the blob of %d bytes has %d instead of %d", len(plain), b.Len(), BlobSize(int64(len(plain))))
	}
	return b.Bytes()
}

func TestFilesAreReadFromTheirBlobsAtEveryOffset(t *testing.T) {
	k := secretOf(7).Keys()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		plain := randomBytes(uint64(n), int(n))
		blob := sealFile(t, k, plain, "blob")
		r := k.Reader(bytes.NewReader(blob), n)
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		for range 20 {
			at := rng.Int64N(n)
			want := plain[at:min(n, at+rng.Int64N(3*Payload))]
			got := make([]byte, len(want))
			if _, err := r.Seek(at, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes at %d of %d: %v", len(want), at, n, err)
			}
		}
		if end, err := r.Seek(0, io.SeekEnd); err != nil || end != n {
			t.Errorf("the end is at %d, %v", end, err)
		}
	}
}

// A block that stays the same in the next version stays the same in the blob; so does padding.
func TestUnchangedBlocksStayTheSame(t *testing.T) {
	k := secretOf(8).Keys()
	plain := randomBytes(1, 37*Payload+100)
	before := sealFile(t, k, plain, "blob")
	changed := bytes.Clone(plain)
	changed[5*Payload+3] ^= 1
	after := sealFile(t, k, changed, "blob")
	if len(before) != 40*BlockSize {
		t.Fatalf("%d bytes", len(before))
	}
	for at := 0; at < len(before); at += BlockSize {
		same := bytes.Equal(before[at:at+BlockSize], after[at:at+BlockSize])
		if same == (at/BlockSize == 5) {
			t.Errorf("block %d: same is %v", at/BlockSize, same)
		}
	}
}

// Padding differs from blob to blob and from block to block, as content does.
func TestPaddingIsNotRecognised(t *testing.T) {
	k := secretOf(9).Keys()
	seen := map[string]bool{}
	for _, name := range []string{"a", "b"} {
		blob := sealFile(t, k, randomBytes(uint64(name[0]), 37*Payload+100), name)
		for at := 0; at < len(blob); at += BlockSize {
			seen[string(blob[at:at+BlockSize])] = true
		}
	}
	if len(seen) != 80 {
		t.Errorf("%d different blocks instead of 80", len(seen))
	}
}

func TestChangedBlocksDoNotOpen(t *testing.T) {
	k := secretOf(10).Keys()
	plain := randomBytes(3, 3*Payload+10)
	blob := sealFile(t, k, plain, "blob")
	read := func(blob []byte, k *Keys) error {
		_, err := io.ReadAll(k.Reader(bytes.NewReader(blob), int64(len(plain))))
		return err
	}
	var bad *BlockError
	for _, at := range []int{0, 15, 16, BlockSize, 2*BlockSize + 77, 4*BlockSize - 1} {
		flipped := bytes.Clone(blob)
		flipped[at] ^= 0x80
		if err := read(flipped, k); !errors.As(err, &bad) || bad.Index != int64(at/BlockSize) {
			t.Errorf("byte %d is flipped: %v", at, err)
		}
	}
	swapped := bytes.Clone(blob)
	copy(swapped[:BlockSize], blob[BlockSize:2*BlockSize])
	if err := read(swapped, k); !errors.As(err, &bad) || bad.Index != 0 {
		t.Errorf("a block at another index: %v", err)
	}
	if err := read(blob, secretOf(11).Keys()); !errors.As(err, &bad) {
		t.Errorf("another secret: %v", err)
	}
	if err := read(blob[:2*BlockSize+5], k); err != io.ErrUnexpectedEOF {
		t.Errorf("cut: %v", err)
	}
}

// A file that is shorter than expected is an error, not a blob of something else.
func TestSealNeedsTheWholeFile(t *testing.T) {
	if err := secretOf(1).Keys().Seal(io.Discard, bytes.NewReader(make([]byte, 20)), 21, "blob"); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
}

func TestManifestsAreReadAsTheyAreWritten(t *testing.T) {
	k := secretOf(12).Keys()
	for _, n := range lengths {
		info := randomBytes(uint64(n), int(n))
		var b bytes.Buffer
		if err := k.SealManifest(&b, info); err != nil {
			t.Fatal(err)
		}
		open := func(b []byte, most int64) ([]byte, error) {
			return k.OpenManifest(bytes.NewReader(b), int64(len(b)), most)
		}
		if got, err := open(b.Bytes(), 1<<20*4); err != nil || !bytes.Equal(got, info) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if _, err := open(b.Bytes(), n-1); !errors.Is(err, ErrManifest) {
			t.Errorf("%d bytes where %d are allowed: %v", n, n-1, err)
		}
		if _, err := open(append(b.Bytes(), make([]byte, BlockSize)...), 1<<40); err == nil {
			t.Errorf("%d bytes: a longer blob is accepted", n)
		}
		// The blob of a file is not taken for a manifest.
		if _, err := open(sealFile(t, k, info, "blob"), 1<<30); err == nil {
			t.Errorf("%d bytes: the blob of a file is taken for a manifest", n)
		}
	}
}

func TestNamesDiffer(t *testing.T) {
	a, b := secretOf(13).Keys(), secretOf(14).Keys()
	seen := map[string]bool{}
	for _, k := range []*Keys{a, b} {
		for _, name := range []string{k.TorrentName(), k.ManifestName(), k.BlobName([]string{""}), k.BlobName([]string{"a", "b"}), k.BlobName([]string{"ab"})} {
			if len(name) != 2*nameLen {
				t.Error(name)
			}
			seen[name] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d different names instead of 10", len(seen))
	}
}

func FuzzParseSecret(f *testing.F) {
	f.Add(secretOf(1).Text())
	f.Add(secretOf(1).ToKeep().Text())
	f.Add("1aaaa")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(Read, text)
		if err != nil {
			return
		}
		if s.Text() != strings.ToLower(text) {
			t.Errorf("%q is read as %q", text, s.Text())
		}
	})
}

func FuzzOpenValue(f *testing.F) {
	s := secretOf(1)
	box, _ := s.SealValue([]byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Add(box)
	f.Add([]byte{Version})
	f.Fuzz(func(t *testing.T, box []byte) {
		plain, err := s.OpenValue(box)
		if err == nil && len(plain) > MaxValuePlain {
			t.Errorf("%d bytes", len(plain))
		}
	})
}

// FuzzOpenManifest also opens blobs whose blocks are sealed with the right keys, as a hostile
// publisher can.
func FuzzOpenManifest(f *testing.F) {
	k := secretOf(1).Keys()
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02de"), true, uint8(1))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\x02de"), true, uint8(1))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff"), true, uint8(2))
	f.Add([]byte("x"), false, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, seal bool, blocks uint8) {
		if seal && len(b) > 0 {
			var w bytes.Buffer
			if err := k.seal(k.manifest, &w, bytes.NewReader(b), int64(len(b)), ""); err != nil {
				t.Fatal(err)
			}
			b = append(w.Bytes(), make([]byte, int(blocks)*BlockSize/4)...)
		}
		info, err := k.OpenManifest(bytes.NewReader(b), int64(len(b)), 1<<20)
		if err == nil && len(info) > 1<<20 {
			t.Errorf("%d bytes", len(info))
		}
	})
}

func FuzzReader(f *testing.F) {
	k := secretOf(1).Keys()
	f.Add([]byte("short"), int64(5), int64(0))
	f.Add(make([]byte, 2*BlockSize), int64(Payload+5), int64(Payload))
	f.Fuzz(func(t *testing.T, blob []byte, length, at int64) {
		if length <= 0 || length > 1<<40 {
			return
		}
		r := k.Reader(bytes.NewReader(blob), length)
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			return
		}
		buf := make([]byte, 100)
		_, _ = r.Read(buf)
	})
}
