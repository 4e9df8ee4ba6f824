//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// isSoak makes the tests build the program for all targets, and twice.
var isSoak = os.Getenv("SEEDBED_SOAK") != ""

// wholeRelease makes a release for all targets. Except in a soak, only that for the first one has the real
// program; the others have a small one, which is built once.
func wholeRelease(work string) (*release, error) {
	r, err := newRelease("1.2.3", work)
	if err != nil {
		return nil, err
	}
	if isSoak {
		return r, r.makeAll()
	}
	small, err := smallProgram()
	if err != nil {
		return nil, err
	}
	r.programs = map[target]string{}
	for _, t := range r.targets[1:] {
		r.programs[t] = small
	}
	return r, r.makeAll()
}

var smallProgram = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "small")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module small\n"), 0o644); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", "small", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return filepath.Join(dir, "small"), err
})

// Two releases of the same source are the same bytes, although they are made in different folders and by users with different
// settings. No file has a path of this machine.
func TestReleaseIsReproducible(t *testing.T) {
	one, err := testRelease()
	if err != nil {
		t.Fatal(err)
	}
	if isSoak {
		t.Setenv("GOCACHE", t.TempDir()) // compile everything again
	}
	settings := t.TempDir()
	if err := os.Mkdir(filepath.Join(settings, "seedbed"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "seedbed", "config.toml"), []byte("no settings\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"XDG_CONFIG_HOME": settings, "SEEDBED_JSON": "true", "TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "GOFLAGS": "-race", "GOAMD64": "v3"} {
		t.Setenv(name, value)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	two, err := wholeRelease(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(one.made, two.made) || len(one.made) < 14 {
		t.Errorf("%q and %q", one.made, two.made)
	}
	for _, name := range one.made {
		a, b := readFile(t, filepath.Join(one.out, name)), readFile(t, filepath.Join(two.out, name))
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs: %d and %d bytes", name, len(a), len(b))
		}
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	program := readFile(t, one.programs[target{"linux", "amd64"}])
	for _, path := range []string{root, one.work} {
		if bytes.Contains(program, []byte(path)) {
			t.Errorf("the program contains the path %s", path)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// SHA256SUMS has every other file, and sha256sum agrees.
func TestChecksums(t *testing.T) {
	sums := string(readFile(t, built(t, "SHA256SUMS")))
	files, err := os.ReadDir(filepath.Dir(built(t, "SHA256SUMS")))
	if err != nil || len(files) != strings.Count(sums, "\n")+1 {
		t.Errorf("%d files, %v:\n%s", len(files), err, sums)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = filepath.Dir(built(t, "SHA256SUMS"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// unpacked returns the headers and contents of a tarball by name.
func unpacked(t *testing.T, r io.Reader) (headers map[string]*tar.Header, contents map[string][]byte) {
	t.Helper()
	headers, contents = map[string]*tar.Header{}, map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if headers[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		headers[h.Name] = h
		if contents[h.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func gunzip(t *testing.T, data []byte) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// An archive has the program with its texts in one folder, and everything belongs to root.
func TestArchives(t *testing.T) {
	for _, name := range []string{"seedbed-1.2.3-linux-amd64", "seedbed-1.2.3-linux-arm64", "seedbed-1.2.3-darwin-amd64", "seedbed-1.2.3-darwin-arm64"} {
		headers, _ := unpacked(t, gunzip(t, readFile(t, built(t, name+".tar.gz"))))
		for path, h := range headers {
			if !strings.HasPrefix(path, name+"/") || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != testDate.Unix() {
				t.Errorf("%s: %+v", path, h)
			}
		}
		for _, want := range []string{"seedbed", "LICENSE", "NOTICES.txt", "README.md", "man/seedbed.1", "completions/seedbed.bash", "completions/seedbed.zsh", "completions/seedbed.fish"} {
			if headers[name+"/"+want] == nil {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		if h := headers[name+"/seedbed"]; h != nil && h.Mode != 0o755 {
			t.Errorf("mode of the program: %o", h.Mode)
		}
		if linux := strings.Contains(name, "linux"); linux != (headers[name+"/systemd/seedbed.service"] != nil) {
			t.Errorf("%s: the units belong to Linux", name)
		}
	}
	for _, name := range []string{"seedbed-1.2.3-windows-amd64", "seedbed-1.2.3-windows-arm64"} {
		z, err := zip.OpenReader(built(t, name+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for _, want := range []string{"seedbed.exe", "LICENSE", "NOTICES.txt", "README.md", "completions/seedbed.powershell"} {
			if _, err := z.Open(name + "/" + want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The bill of materials has the libraries of the program, as the program itself names them, and of the page, with versions and
// licences.
func TestBillOfMaterials(t *testing.T) {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(readFile(t, built(t, "seedbed-1.2.3.cdx.json"))), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion < cdx.SpecVersion1_6 || bom.Version != 1 || bom.Metadata.Timestamp != testDate.Format(time.RFC3339) {
		t.Errorf("format %s %s, version %d, time %s", bom.BOMFormat, bom.SpecVersion, bom.Version, bom.Metadata.Timestamp)
	}
	refs := map[string]bool{}
	for _, c := range *bom.Components {
		if c.BOMRef != c.PackageURL || refs[c.BOMRef] {
			t.Errorf("the reference %q of %s is not its only one", c.BOMRef, c.Name)
		}
		refs[c.BOMRef] = true
	}
	r, err := testRelease()
	if err != nil {
		t.Fatal(err)
	}
	modules := 0
	for line := range strings.Lines(output(t, "go", "version", "-m", r.programs[target{"linux", "amd64"}])) {
		f := strings.Fields(line)
		switch {
		case len(f) < 3 || f[0] != "dep":
			continue
		case !refs["pkg:golang/"+f[1]+"@"+f[2]]:
			t.Errorf("the bill lacks %s %s", f[1], f[2])
		}
		modules++
	}
	if modules < 20 {
		t.Errorf("the program names %d modules", modules)
	}
	licences := map[string]string{}
	for _, c := range *bom.Components {
		if c.Version == "" || c.PackageURL == "" || c.Licenses == nil {
			t.Errorf("%s: version %q, URL %q, licences %v", c.Name, c.Version, c.PackageURL, c.Licenses)
			continue
		}
		licences[c.Name] = (*c.Licenses)[0].License.ID
	}
	for name, want := range map[string]string{"github.com/spf13/cobra": "Apache-2.0", "github.com/anacrolix/dht/v2": "MPL-2.0", "golang.org/x/net": "BSD-3-Clause", "std": "BSD-3-Clause", "preact": "MIT"} {
		if licences[name] != want {
			t.Errorf("licence of %s: %q, want %q", name, licences[name], want)
		}
	}
	for name := range licences {
		if strings.Contains(name, "nfpm") || strings.Contains(name, "rapid") {
			t.Errorf("%s is no part of the program", name)
		}
	}
	if deps := (*bom.Dependencies)[0]; len(*deps.Dependencies) != len(*bom.Components) || bom.Metadata.Component.Version != "1.2.3" {
		t.Errorf("%d dependencies of %d components, version %s", len(*deps.Dependencies), len(*bom.Components), bom.Metadata.Component.Version)
	}
	notices := string(readFile(t, filepath.Join(unpackDeb(t), "usr/share/doc/seedbed/notices.txt.gz")))
	text, err := io.ReadAll(gunzip(t, []byte(notices)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(licences)) {
		if !bytes.Contains(text, []byte("\n"+name+" ")) {
			t.Errorf("the package has no licence of %s", name)
		}
	}
}

func unpackDeb(t *testing.T) string {
	t.Helper()
	need(t, "dpkg-deb")
	dir := t.TempDir()
	output(t, "dpkg-deb", "-x", built(t, testDeb), dir)
	return dir
}
