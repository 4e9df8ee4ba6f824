package node

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/s3store"
)

// repeated reads as its content again and again.
type repeated []byte

func (r repeated) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); {
		n += copy(b[n:], r[(off+int64(n))%int64(len(r)):])
	}
	return len(b), nil
}

// A torrent of two million pieces is shared from a store. A peer that has only the infohash gets files of some pieces at random places, and
// the end. The store is asked for the blocks with these pieces alone, and both nodes need little memory beside the hashes.
func TestTwoMillionPiecesInAStore(t *testing.T) {
	const (
		pieces, pieceLength = 2_000_000, 16 << 10
		places, sample, end = 5, 40_000, 3 << 20 // bytes of the files that are downloaded
		period              = 61                 // after so many pieces the content repeats; no multiple of it is the number of pieces of a block
	)
	if scale > 1 {
		t.Skip("the race detector needs too much memory for each piece")
	}
	content := repeated(filetest.RandomBytes("many pieces", period*pieceLength))
	plan := metainfo.Plan{Name: "film", PieceLength: pieceLength, Format: metainfo.V1}
	var selected []int
	left, random := int64(pieces*pieceLength), rand.New(rand.NewPCG(1, 2))
	add := func(length int64) {
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprintf("%02d", len(plan.Files))}, Length: length})
		left -= length
	}
	for place := range places {
		add(1 + random.Int64N(2*(left-end)/int64(places-place)-2*sample))
		add(sample)
		selected = append(selected, len(plan.Files))
	}
	add(left - end)
	add(end)
	selected = append(selected, len(plan.Files))
	sums := make([]byte, 0, pieces*sha1.Size)
	for p := range pieces {
		if p < period {
			sum := sha1.Sum(content[p*pieceLength:][:pieceLength])
			sums = append(sums, sum[:]...)
		} else {
			sums = append(sums, sums[(p-period)*sha1.Size:][:sha1.Size]...)
		}
	}
	info, err := metainfo.Build(plan, sums)
	if err != nil {
		t.Fatal(err)
	}
	sums = nil

	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		b := newBucket(t)
		for i := range info.Files {
			f := &info.Files[i]
			b.PutGenerated("data/"+info.PathOf(i), io.NewSectionReader(content, f.Offset, f.Length), f.Length)
		}
		before := heap()
		spec := Spec{Torrent: &metainfo.Torrent{Info: info}, Objects: true, Persistent: true}
		a, closeSeed := b.start(n, 1, "data", noDHT)
		defer closeSeed()
		x := a.add(spec)
		awaitPhase(t, x, lifecycle.Seeding)
		seeding := heap()
		r, to := start(t, n, 2, noDHT), t.TempDir()
		y := r.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to, Select: selected})
		wait(t, y.Done(), 10*time.Minute, "downloaded")
		both := heap()

		blocks, requests := map[int64]bool{}, 0
		for _, number := range selected {
			f := &info.Files[number-1]
			got, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(info.PathOf(number-1))))
			want := make([]byte, f.Length)
			_, _ = content.ReadAt(want, f.Offset)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, of which some are wrong; %v", info.PathOf(number-1), len(got), err)
			}
			for k := f.Offset / s3store.BlockSize; k*s3store.BlockSize < f.Offset+f.Length; k++ {
				if !blocks[k] {
					blocks[k] = true
					for range info.Spans(k*s3store.BlockSize, min(s3store.BlockSize, info.Length-k*s3store.BlockSize)) {
						requests++
					}
				}
			}
		}
		size := float64(int64(len(blocks)) * s3store.BlockSize)
		if read := float64(x.StoreUsage().Read); read > 1.05*size || b.reads()*20 > requests*21 {
			t.Errorf("%.2f of the blocks were read, with %d requests for %d parts of objects", read/size, b.reads(), requests)
		}
		// The downloader has the hashes once more.
		if shared, got := float64(seeding-before)/pieces, float64(both-seeding)/pieces; shared > 20 || got > sha1.Size+60 {
			t.Errorf("the node with the store takes %.1f bytes a piece, and the downloader %.1f", shared, got)
		}
	})
}

// heap returns the bytes of the heap that are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A torrent of 100,000 objects is found with a request for 1,000 of them, and those that a peer wants are read once.
func TestAHundredThousandObjects(t *testing.T) {
	const pieceLength, size, page = 16 << 10, 1000, 1000
	files := 100_000 / scale
	plan := metainfo.Plan{Name: "site", PieceLength: pieceLength, Format: metainfo.V1}
	hash, sums, all := sha1.New(), []byte(nil), make([]byte, 0, files*size)
	for i := range files {
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprint("d", i/1000), fmt.Sprintf("%06d", i)}, Length: size})
		all = append(all, bytes.Repeat(fmt.Appendf(nil, "%10d", i), size/10)...)
	}
	for b := range slices.Chunk(all, pieceLength) {
		hash.Reset()
		hash.Write(b)
		sums = hash.Sum(sums)
	}
	info, err := metainfo.Build(plan, sums)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	var selected []int
	for range 20 {
		selected = append(selected, 1+random.IntN(files))
	}
	for i := range 100 {
		selected = append(selected, files-i)
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		b := newBucket(t)
		for i := range info.Files {
			b.Put("data/"+info.PathOf(i), all[i*size:][:size])
		}
		before := heap()
		spec := Spec{Torrent: &metainfo.Torrent{Info: info}, Objects: true, Persistent: true}
		a, closeSeed := b.start(n, 1, "data", noDHT)
		defer closeSeed()
		x := a.add(spec)
		awaitPhase(t, x, lifecycle.Seeding)
		used, found := heap()-before, len(b.Requests())
		to := t.TempDir()
		y := start(t, n, 2, noDHT).add(Spec{Link: withPeers(spec, at(1).String()), Dir: to, Select: selected})
		wait(t, y.Done(), 10*time.Minute, "downloaded")
		pieces, requests := map[int]bool{}, 0
		for _, number := range selected {
			got, err := os.ReadFile(filepath.Join(to, filepath.FromSlash(info.PathOf(number-1))))
			if err != nil || !bytes.Equal(got, all[(number-1)*size:][:size]) {
				t.Errorf("%s: %.20q; %v", info.PathOf(number-1), got, err)
			}
			for p, end := info.PiecesOf(number - 1); p < end; p++ {
				if !pieces[p] {
					pieces[p] = true
					for range info.PieceSpans(p) {
						requests++
					}
				}
			}
		}
		var wanted int64
		for p := range pieces {
			wanted += info.PieceSize(p)
		}
		if lists, read := (files+page-1)/page, x.StoreUsage().Read; found > lists+1 || b.reads() > requests || read > wanted {
			t.Errorf("%d requests found %d objects, and %d for %d parts of them got %d bytes, where %d were wanted", found, files, b.reads(), requests, read, wanted)
		}
		if used > int64(files)*100 && scale == 1 {
			t.Errorf("%d bytes are kept for each object", used/int64(files))
		}
	})
}
