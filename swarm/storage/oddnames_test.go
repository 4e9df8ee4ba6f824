package storage

import (
	"context"
	"crypto/sha1"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/bencode"
	"seedbed/magnet/metainfo"
)

// oddParts are the components of odd names.
var oddParts = []string{"a", "A", "b", "README", "readme", ".", "..", "/", `\`, ":", "C:", "con", "NUL", "com1", " ", "\x00", "\xff", "é", "e\u0301", "ß", "SS",
	"日本", "\u202e", "\u200d", "?", "*", "<", "|", `"`, "\n", ".txt", ".part", "~", "-", "", strings.Repeat("x", 100), strings.Repeat("é", 60)}

// oddTorrent returns a torrent with random odd paths, and its bytes.
func oddTorrent(t *testing.T, dice *rand.Rand) fixture {
	name := func() string {
		var b strings.Builder
		for range 1 + dice.IntN(3) {
			b.WriteString(oddParts[dice.IntN(len(oddParts))])
		}
		return b.String()
	}
	const pieceLength = 16 << 10
	total := 0
	raw := []byte("d5:filesl")
	for range 1 + dice.IntN(8) {
		length := 1 + dice.IntN(20_000)
		total += length
		raw = fmt.Appendf(raw, "d6:lengthi%de4:pathl", length)
		for range 1 + dice.IntN(3) {
			raw = bencode.AppendString(raw, name())
		}
		raw = append(raw, "ee"...)
	}
	data := make([]byte, total)
	for i := range data {
		data[i] = byte(dice.Uint32())
	}
	var sums []byte
	for off := 0; off < total; off += pieceLength {
		h := sha1.Sum(data[off:min(off+pieceLength, total)])
		sums = append(sums, h[:]...)
	}
	raw = bencode.AppendString(append(raw, "e4:name"...), name())
	raw = fmt.Appendf(raw, "12:piece lengthi%de6:pieces", pieceLength)
	info, err := metainfo.ParseInfo(append(bencode.AppendBytes(raw, sums), 'e'))
	if err != nil {
		t.Fatalf("%q: %v", raw[:len(raw)-len(sums)], err)
	}
	return fixture{info, data}
}

// TestBatteryOddNames downloads torrents with odd names on several file systems. Every
// file must exist, complete, in a separate place below the download folder, and be found
// again with and without the record.
func TestBatteryOddNames(t *testing.T) {
	torrents := 40
	if os.Getenv("SEEDBED_SOAK") != "" {
		torrents = 300
	}
	for _, system := range []struct {
		name  string
		mount func(t *testing.T, image, dir string) error
	}{
		{"of the test folder", nil},
		{"vfat", mountWith("vfat", "mkfs.vfat IMAGE", "mount -o loop,utf8 IMAGE DIR")},
		// The loop device disappears when the image is unmounted.
		{"exFAT", mountWith("", "mkfs.exfat IMAGE", "l=$(losetup -f --show IMAGE) && mount.exfat-fuse $l DIR && losetup -d $l")},
		{"NTFS", mountWith("", "mkntfs -F -Q IMAGE", "ntfs-3g IMAGE DIR")},
		{"NTFS with the names of Windows", mountWith("", "mkntfs -F -Q IMAGE", "lowntfs-3g -o windows_names,ignore_case IMAGE DIR")},
	} {
		t.Run(system.name, func(t *testing.T) {
			top := t.TempDir()
			if system.mount != nil {
				dir := filepath.Join(top, "mnt")
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := system.mount(t, filepath.Join(top, "image"), dir); err != nil {
					t.Skipf("battery: file system %s not tested: %v", system.name, err)
				}
				top = dir
			}
			files, renamed := 0, 0
			for seed := range uint64(torrents) {
				f := oddTorrent(t, rand.New(rand.NewPCG(seed, 12)))
				n, r := oddDownload(t, f, top)
				files, renamed = files+n, renamed+r
				if t.Failed() {
					t.Fatalf("at torrent %d: %q", seed, f.info.Raw[:len(f.info.Raw)-20*f.info.NumPieces()])
				}
			}
			t.Logf("battery: %d torrents of %d files with odd names on the file system %s: each complete in its own place, %d under a substitute name",
				torrents, files, system.name, renamed)
		})
	}
}

// oddDownload downloads a torrent into a folder below top, checks all files that exist
// afterwards, and removes them.
func oddDownload(t *testing.T, f fixture, top string) (files, renamed int) {
	handles := NewHandles(16)
	defer handles.Close()
	state := t.TempDir()
	o := Options{Dir: filepath.Join(top, "outer", "dl"), Info: f.info, Record: filepath.Join(state, "resume"), Handles: handles}
	s := downloadAll(t, f, o)
	renamed, _, _ = s.Renamed()
	var found []string
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if !strings.HasPrefix(path, filepath.Join(o.Dir)+string(filepath.Separator)) {
			t.Errorf("%q is outside of the download folder", path)
		}
	}
	if want := f.info.Stored(); len(found) != want {
		t.Errorf("%d files, not %d: %q", len(found), want, found)
	}
	for i := range f.info.Files {
		file := &f.info.Files[i]
		b, err := os.ReadFile(filepath.Join(o.Dir, s.final(i)))
		if err != nil || string(b) != string(f.data[file.Offset:file.Offset+file.Length]) {
			t.Errorf("%q: %d bytes, %v", s.final(i), len(b), err)
		}
	}
	for _, again := range []struct {
		readOnly bool
		record   string
	}{{true, o.Record}, {false, o.Record}, {false, filepath.Join(state, "other")}, {true, ""}} {
		o.ReadOnly, o.Record = again.readOnly, again.record
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if have, err := s.Check(context.Background(), nil); err != nil || !have.Full() {
			t.Errorf("opened again, %+v: %d of %d pieces, %v", again, have.Count(), have.Len(), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(top, "outer")); err != nil {
		t.Fatal(err)
	}
	return f.info.Stored(), renamed
}

// mountWith makes an image with one command and mounts it with another. It returns an
// error if the system or the tools are missing. kernel is the file system that the kernel
// must support; "" stands for FUSE.
func mountWith(kernel, format, mount string) func(t *testing.T, image, dir string) error {
	return func(t *testing.T, image, dir string) error {
		if os.Geteuid() != 0 {
			return fmt.Errorf("mounting requires root")
		}
		known, err := os.ReadFile("/proc/filesystems")
		if kernel == "" {
			kernel = "fuse"
		}
		if err != nil || !strings.Contains(string(known), "\t"+kernel+"\n") {
			return fmt.Errorf("the kernel does not support %s", kernel)
		}
		f, err := os.Create(image)
		if err != nil {
			return err
		}
		err = f.Truncate(64 << 20)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		for _, line := range []string{format, mount} {
			line = strings.NewReplacer("IMAGE", image, "DIR", dir).Replace(line)
			if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", line, err, out)
			}
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
		return nil
	}
}
