package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A release is one version of the program, of which packages are made.
type release struct {
	version    string
	date       time.Time // of the commit; all files have it
	maintainer string    // NAME <ADDRESS>
	homepage   string    // a URL, or ""
	downloads  string    // the URL of the folder with the release, for the recipes; "" if it has none
	targets    []target
	work       string // a folder for what is built on the way
	out        string // the folder of the release

	made     []string          // the names of what is written, in out
	programs map[target]string // see build
	texts    []file            // see common
	parts    []component       // see components
}

var versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+([-~][0-9A-Za-z.]+)?$`)

func checkVersion(v string) error {
	if !versionForm.MatchString(v) {
		return fmt.Errorf("%q is not a version; give one as in 1.2.3 or 1.2.3-rc1", v)
	}
	return nil
}

var maintainerForm = regexp.MustCompile(`^[^<>\n]+ <[^<>@\s]+@[^<>@\s]+>$`)

// checkOrigin checks who makes the packages, and where they can be found. No default is invented for either.
func (r *release) checkOrigin() error {
	if !maintainerForm.MatchString(r.maintainer) {
		return fmt.Errorf("%q is not a maintainer; give one as in 'Ada Lovelace <ada@example.org>' (make: MAINTAINER=)", r.maintainer)
	}
	for _, s := range []string{r.homepage, r.downloads} {
		// The recipes have it in quotes.
		if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(s, "\"$#\\")) {
			return fmt.Errorf("%q is not a URL; give one as in https://example.org/seedbed", s)
		}
	}
	return nil
}

// A file is a file of a package.
type file struct {
	path  string // in the package, with slashes
	mode  fs.FileMode
	data  []byte
	owner int // user and group, in the image; everything else belongs to root
}

// makePackages makes the packages for Linux.
func (r *release) makePackages() error {
	for _, t := range r.targets {
		if t.os != "linux" {
			continue
		}
		for _, format := range []string{"deb", "rpm"} {
			if err := r.linuxPackage(format, t.arch); err != nil {
				return fmt.Errorf("%s for %s: %w", format, t.arch, err)
			}
		}
	}
	return nil
}

// makeAll makes everything that belongs to a release.
func (r *release) makeAll() error {
	if err := r.makePackages(); err != nil {
		return err
	}
	var images []string
	for _, t := range r.targets {
		if err := r.archive(t); err != nil {
			return err
		}
		if t.os == "linux" {
			images = append(images, t.arch)
		}
	}
	for _, step := range []func() error{func() error { return r.image(images) }, r.sbom, r.recipes, r.writeSums} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// create writes a file of the release.
func (r *release) create(name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.made = append(r.made, name)
	return f.Close()
}

// A target is a system and a processor that the program is built for.
type target struct{ os, arch string }

// allTargets are those of a release, first Linux.
var allTargets = []target{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}

// binary is the name of the program.
func (t target) binary() string {
	if t.os == "windows" {
		return "seedbed.exe"
	}
	return "seedbed"
}

// build builds the program, if it is not built yet, and returns its path.
func (r *release) build(t target) (string, error) {
	if path := r.programs[t]; path != "" {
		return path, nil
	}
	path := filepath.Join(r.work, t.os+"-"+t.arch, t.binary())
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X seedbed/cmd/seedbed/version.release="+r.version, "-o", path, "./cmd/seedbed")
	cmd.Dir = ".."
	// What a user has set for other builds must not change this one.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.os, "GOARCH="+t.arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build for %s/%s: %w\n%s", t.os, t.arch, err, out)
	}
	if r.programs == nil {
		r.programs = map[target]string{}
	}
	r.programs[t] = path
	return path, nil
}

// readBuilt builds the program and returns it as the file path of a package.
func (r *release) readBuilt(t target, path string) (file, error) {
	from, err := r.build(t)
	if err != nil {
		return file{}, err
	}
	b, err := os.ReadFile(from)
	return file{path: path, mode: 0o755, data: b}, err
}

// common returns the files that are the same on all systems, below man/ and completions/: the
// program writes them.
func (r *release) common() ([]file, error) {
	if r.texts != nil {
		return r.texts, nil
	}
	program, err := r.build(target{runtime.GOOS, runtime.GOARCH})
	if err != nil {
		return nil, err
	}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = []string{"HOME=" + r.work} // not the settings of whoever makes the release
		return cmd
	}
	pages := filepath.Join(r.work, "man")
	if out, err := run("man-pages", pages, "--date", r.date.Format(time.DateOnly)).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("seedbed man-pages: %w\n%s", err, out)
	}
	entries, err := os.ReadDir(pages)
	if err != nil {
		return nil, err
	}
	var texts []file
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(pages, e.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, file{path: "man/" + e.Name(), mode: 0o644, data: b})
	}
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		b, err := run("completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("seedbed completion %s: %w", shell, err)
		}
		texts = append(texts, file{path: "completions/seedbed." + shell, mode: 0o644, data: b})
	}
	r.texts = texts
	return texts, nil
}

// source reads a file of the source, relative to this folder.
func source(path, as string) (file, error) {
	b, err := os.ReadFile(path)
	return file{path: as, mode: 0o644, data: b}, err
}

// documents returns the documentation in the source, relative to this folder. All of it is in every package, because
// its parts link to one another.
func documents() (all []string, err error) {
	for _, pattern := range []string{"*.md", "*.json", "*.png", "*.svg", "*.tsv"} {
		paths, err := filepath.Glob("../docs/" + pattern)
		if err != nil {
			return nil, err
		}
		all = append(all, paths...)
	}
	return all, nil
}

// gzipped returns data compressed as Debian's policy wants: without a name and a time.
func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	_, _ = w.Write(data)                                  // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// tilde returns the version as Debian and RPM want it: 1.2.3~rc1 is before 1.2.3.
func (r *release) tilde() string { return strings.ReplaceAll(r.version, "-", "~") }
