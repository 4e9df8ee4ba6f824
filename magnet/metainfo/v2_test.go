package metainfo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// libtorrent 2.0.8 made the files in testdata from files whose byte i is i*i*7 + size +
// i/256.
func fixtureData(size int64) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*i*7 + int(size) + i>>8)
	}
	return b
}

func load(t testing.TB, name string) (*Torrent, []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".torrent"))
	if err != nil {
		t.Fatal(err)
	}
	tt, err := ParseTorrent(b)
	if err != nil {
		t.Fatal(err)
	}
	return tt, b
}

// content returns all bytes of a torrent, including padding.
func content(i *Info) (all []byte) {
	for _, f := range i.Files {
		if f.Pad {
			all = append(all, make([]byte, f.Length)...)
		} else {
			all = append(all, fixtureData(f.Length)...)
		}
	}
	return all
}

func TestTorrentsOfLibtorrentAreRead(t *testing.T) {
	for _, c := range []struct {
		name, hash, v2 string
		v1             bool
		files          []string
	}{
		{"v2-single", "", "", false, []string{"one.bin"}},
		{"hybrid-single", "", "", true, []string{"one.bin"}},
		{"v2-tree", "", "", false, []string{"a.bin", "b", "c/d.bin", "c/empty", "e"}},
		{"hybrid-tree", "", "", true, []string{"a.bin", "b", "c/d.bin", "c/empty", "e"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			tt, raw := load(t, c.name)
			i := tt.Info
			if !i.HasV2() || i.HasV1() != c.v1 || !i.HasLayers() || i.LacksLayers() || i.IsMulti() != (len(c.files) > 1) {
				t.Errorf("v1 %v v2 %v layers %v multi %v", i.HasV1(), i.HasV2(), i.HasLayers(), i.IsMulti())
			}
			var files []string
			for _, f := range i.Files {
				if !f.Pad {
					files = append(files, strings.Join(f.Path, "/"))
					if f.Length > 0 && f.Offset%i.PieceLength != 0 {
						t.Errorf("%v begins at %d", f.Path, f.Offset)
					}
				}
			}
			if !slices.Equal(files, c.files) {
				t.Errorf("files %q, not %q", files, c.files)
			}
			if !c.v1 && !bytes.Equal(i.Hash[:], i.HashV2[:20]) {
				t.Error("the infohash is not the truncated v2 infohash")
			}
			all := content(i)
			for p := range i.NumPieces() {
				h := i.NewPieceHash(p)
				off := int64(p) * i.PieceLength
				_, _ = h.Write(all[off : off+i.DataSize(p)])
				if h.Digest() != i.Digest(p) {
					t.Errorf("piece %d does not verify", p)
				}
				if q := i.NumPieces() - 1 - p; c.v1 && i.PieceSize(p) == i.PieceSize(q) {
					at := int64(q) * i.PieceLength
					x, y := i.DigestPair(p, all[off:off+i.DataSize(p)], i, q, all[at:at+i.DataSize(q)])
					if x != i.Digest(p) || y != i.Digest(q) {
						t.Errorf("pieces %d and %d do not verify as a pair", p, q)
					}
				}
				if i.Digest(p).V2 == (Root{}) {
					t.Errorf("piece %d has no root", p)
				}
			}
			if again := tt.Append(nil); !bytes.Equal(again, raw) {
				t.Error("writing it does not give the bytes that were read")
			}
			// The layers are obtained from peers as well.
			bare, err := ParseInfo(i.Raw)
			if err != nil {
				t.Fatal(err)
			}
			if bare.LacksLayers() == c.v1 {
				t.Error("a bare dictionary lacks layers:", bare.LacksLayers())
			}
			l := NewLayers(bare)
			for k, q := range l.Requests() {
				answer, ok := i.Hashes(nil, q)
				if !ok {
					t.Fatalf("no answer to %+v", q)
				}
				wrong := bytes.Clone(answer)
				wrong[len(wrong)/2] ^= 1
				if l.Add(k, wrong) || l.Add(k, answer[32:]) || !l.Add(k, answer) || !l.Answered(k) {
					t.Error("right and wrong hashes are not distinguished")
				}
			}
			if !l.Finish() || !bare.HasLayers() {
				t.Error("the layers are not complete")
			}
			for p := range i.NumPieces() {
				if bare.Digest(p) != i.Digest(p) {
					t.Errorf("piece %d has another digest", p)
				}
				q, ok := i.LeafRequest(p)
				if !ok {
					continue
				}
				off := int64(p) * i.PieceLength
				leaves := Leaves(nil, all[off:off+i.DataSize(p)])
				answer, ok := i.LeafHashes(nil, q, leaves)
				if !ok {
					t.Fatalf("leaves of piece %d are not given: %+v", p, q)
				}
				if got, ok := bare.CheckLeaves(p, answer); !ok || !slices.Equal(got, leaves) {
					t.Errorf("leaves of piece %d: %v", p, ok)
				}
				answer[0] ^= 1
				if _, ok := bare.CheckLeaves(p, answer); ok {
					t.Error("wrong leaves are taken")
				}
				// With all the uncle hashes, a peer that knows only the root can check
				// them.
				q.ProofLayers = 30
				if _, ok := i.LeafHashes(nil, q, leaves); ok {
					t.Error("proof layers above the root are given")
				}
			}
		})
	}
}

// The root is compared with its definition: all leaves in an array, joined in pairs.
func TestMerkleRootIsItsDefinition(t *testing.T) {
	naive := func(nodes []Root) Root {
		for len(nodes) > 1 {
			var up []Root
			for k := 0; k < len(nodes); k += 2 {
				up = append(up, sha256.Sum256(append(nodes[k][:], nodes[k+1][:]...)))
			}
			nodes = up
		}
		return nodes[0]
	}
	rapid.Check(t, func(t *rapid.T) {
		width := int64(1) << rapid.IntRange(0, 7).Draw(t, "height")
		n := rapid.Int64Range(0, width).Draw(t, "leaves")
		nodes := make([]Root, width)
		var layer []byte
		for k := range n {
			nodes[k] = Root{byte(k), 1}
			layer = append(layer, nodes[k][:]...)
		}
		if rootOf(layer, width, 0) != naive(nodes) {
			t.Fatal("another root")
		}
		if n < 2 || treeWidth(n) != width {
			return
		}
		// Any aligned range is proven by its uncle hashes.
		q := HashRequest{Root: naive(nodes)}
		q.Length = uint32(1) << rapid.IntRange(1, log2(width)).Draw(t, "length")
		q.Index = uint32(rapid.Int64Range(0, width/int64(q.Length)-1).Draw(t, "stretch")) * q.Length
		q.ProofLayers = uint32(log2(width) - 1)
		proof := appendProof(nil, q, layer, width)
		if !q.proves(proof, width) {
			t.Fatalf("%+v is not proven by %d hashes", q, len(proof)/32)
		}
		proof[rapid.IntRange(0, len(proof)-1).Draw(t, "byte")] ^= 4
		if q.proves(proof, width) {
			t.Fatal("a wrong hash proves")
		}
	})
}

func TestInvalidV2TorrentsAreRejected(t *testing.T) {
	root := strings.Repeat("r", 32)
	f := func(length int, more ...any) dict { return dict{"", dict(append([]any{"length", length}, more...))} }
	v2 := func(tree any, more ...any) string {
		return be(dict(append([]any{"file tree", tree, "meta version", 2, "name", "n", "piece length", 32 << 10}, more...)))
	}
	deep := any(f(1, "pieces root", root))
	for range MaxDepth + 1 {
		deep = dict{"d", deep}
	}
	for _, c := range []struct{ name, in, want string }{
		{"newer", be(dict{"file tree", dict{}, "meta version", 3, "name", "n", "piece length", 16384}), "\"3\" is not supported"},
		{"piece length", be(dict{"file tree", dict{"a", f(1, "pieces root", root)}, "meta version", 2, "name", "n", "piece length", 20000}), "power of two"},
		{"no tree", be(dict{"meta version", 2, "name", "n", "piece length", 16384}), "file tree: is missing"},
		{"no root", v2(dict{"a", f(1)}), "pieces root: \"a\" is missing"},
		{"short root", v2(dict{"a", f(1, "pieces root", "x")}), "is not a string of 32 bytes"},
		{"negative", v2(dict{"a", f(-1, "pieces root", root)}), "is negative"},
		{"too deep", v2(deep), "directories deep"},
		{"both", v2(dict{"a", dict{"", dict{"length", 1, "pieces root", root}, "b", f(1, "pieces root", root)}}), "is a file and a directory"},
		{"root is a file", v2(f(1, "pieces root", root)), "is a file itself"},
		{"empty folder", v2(dict{"a", dict{}}), "is an empty directory"},
		{"order", v2(dict{"b", f(1, "pieces root", root), "a", f(1, "pieces root", root)}), "not in order"},
		{"no data", v2(dict{"a", f(0)}), "it holds no data"},
		{"sides", be(dict{"file tree", dict{"n", f(2, "pieces root", root)}, "length", 1, "meta version", 2, "name", "n", "piece length", 16384, "pieces", strings.Repeat("x", 20)}), "differs between the v1 and the v2 side"},
		{"unaligned", be(dict{"file tree", dict{"a", f(1, "pieces root", root), "b", f(1, "pieces root", root)},
			"files", list{file(1, "a"), file(1, "b")}, "meta version", 2, "name", "n", "piece length", 16384, "pieces", strings.Repeat("x", 20)}), "differs between the v1 and the v2 side"},
	} {
		if _, err := ParseInfo([]byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	// BEP 52: without the layers, or with wrong ones, the torrent is not valid.
	tt, _ := load(t, "v2-tree")
	for name, layers := range map[string]string{"none": "de", "empty": "d32:" + root + "32:" + root + "e"} {
		b := be(dict{"info", raw(tt.Info.Raw), "piece layers", raw(layers)})
		if _, err := ParseTorrent([]byte(b)); err == nil || !strings.Contains(err.Error(), "piece layers") {
			t.Errorf("layers %s: %v", name, err)
		}
	}
	// If the layers are missing and nothing else is wrong, the rest is available.
	var lacks *LayersError
	for name, layers := range map[string]string{"none": "de", "of no file": "d32:" + root + "32:" + root + "e"} {
		_, err := ParseTorrent([]byte(be(dict{"comment", "c", "info", raw(tt.Info.Raw), "piece layers", raw(layers)})))
		if !errors.As(err, &lacks) {
			t.Errorf("layers %s: %v", name, err)
		} else if !lacks.Torrent.Info.LacksLayers() || lacks.Torrent.Comment != "c" || lacks.Torrent.Info.HashV2 != tt.Info.HashV2 {
			t.Errorf("layers %s: %+v", name, lacks.Torrent)
		}
	}
	wrong := bytes.Clone(tt.Append(nil))
	wrong[bytes.Index(wrong, []byte("piece layers"))+60] ^= 1
	if _, err := ParseTorrent(wrong); err == nil || errors.As(err, &lacks) {
		t.Error("wrong layers are accepted, or count as missing:", err)
	}
}

// A request for hashes gets all of them or none.
func FuzzHashRequest(f *testing.F) {
	tt, _ := load(f, "v2-tree")
	f.Add(uint8(2), uint32(1), uint32(0), uint32(8), uint32(2))
	f.Add(uint8(0), uint32(0), uint32(2), uint32(2), uint32(0))
	f.Fuzz(func(t *testing.T, file uint8, base, index, length, proof uint32) {
		i := tt.Info
		q := HashRequest{Root: i.Files[int(file)%len(i.Files)].Root, Base: base, Index: index, Length: length, ProofLayers: proof}
		if b, ok := i.Hashes(nil, q); ok && (len(b)%32 != 0 || len(b) > 32*(int(length)+40)) {
			t.Fatalf("%d bytes for %+v", len(b), q)
		}
		if p, ok := i.LeavesOf(q); ok {
			if p < 0 || p >= i.NumPieces() {
				t.Fatal("piece", p)
			}
			if b, ok := i.LeafHashes(nil, q, make([]Root, i.NumBlocks(p))); !ok || len(b) < 32*int(length) {
				t.Fatalf("%d bytes for the leaves of %d", len(b), p)
			}
		}
	})
}

func BenchmarkPieceHashV2(b *testing.B) {
	data := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.Run("merkle", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			t := newTreeHash(64)
			_, _ = t.Write(data)
			_ = t.root()
		}
	})
	b.Run("sha256", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			_ = sha256.Sum256(data)
		}
	})
}
