//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The recipes have the checksum of each archive. They take the archives that are beside them, unless the release
// names a place to download them from. Ruby and Nix accept them.
func TestRecipes(t *testing.T) {
	need(t, "ruby", "nix-instantiate")
	made, err := testRelease()
	if err != nil {
		t.Fatal(err)
	}
	published := *made
	published.homepage, published.downloads = "https://example.org/seedbed", "https://example.org/seedbed/1.2.3/"
	published.out, published.made = t.TempDir(), nil
	for _, tg := range made.targets {
		name := made.archiveName(tg)
		if err := os.Symlink(filepath.Join(made.out, name), filepath.Join(published.out, name)); err != nil {
			t.Fatal(err)
		}
		published.made = append(published.made, name)
	}
	if err := published.recipes(); err != nil {
		t.Fatal(err)
	}
	sums, err := made.sums()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*release{made, &published} {
		formula, nix := filepath.Join(r.out, "seedbed.rb"), filepath.Join(r.out, "seedbed.nix")
		output(t, "ruby", "-wc", formula)
		output(t, "nix-instantiate", "--parse", nix)
		texts := string(readFile(t, formula)) + string(readFile(t, nix))
		if got := strings.Contains(texts, "https://"); got != (r.downloads != "") {
			t.Errorf("with downloads at %q:\n%s", r.downloads, texts)
		}
		if got := strings.Count(texts, "homepage"); got != 0 && r.homepage == "" || got != 2 && r.homepage != "" {
			t.Errorf("with the homepage %q:\n%s", r.homepage, texts)
		}
		folder := "file://#{__dir__}/"
		if r.downloads != "" {
			folder = r.downloads
		}
		for _, tg := range r.targets {
			name := r.archiveName(tg)
			if tg.os == "windows" {
				continue
			}
			if !strings.Contains(texts, `url "`+folder+name+"\"\n      sha256 \""+sums[name]+`"`) || !strings.Contains(texts, `archive "`+name+"\"\n      \""+sums[name]+`";`) {
				t.Errorf("%s with its checksum is not in the recipes:\n%s", name, texts)
			}
		}
	}
	// Nix evaluates the expression as far as the archive of this system and checks its sum. The stubs stand for nixpkgs.
	const stubs = ` { lib = { licenses.mit = "MIT"; sourceTypes.binaryNativeCode = 1; }; installShellFiles = 1;
		stdenv = { hostPlatform.system = "x86_64-linux"; mkDerivation = made: made; }; }`
	evaluate := exec.Command("nix-instantiate", "--eval", "--read-write-mode", "-E", "\"${(import "+filepath.Join(made.out, "seedbed.nix")+stubs+").src}\"")
	store := t.TempDir()
	evaluate.Env = append(os.Environ(), "NIX_REMOTE=local?root="+store)
	out, err := evaluate.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "seedbed-1.2.3-linux-amd64.tar.gz") {
		t.Errorf("%v: %s", err, out)
	}
}

// A release that names its maintainer or its address in a form that the packages cannot have is refused.
func TestOrigin(t *testing.T) {
	for _, r := range []release{
		{}, {maintainer: "Ada"}, {maintainer: "Ada <ada>"}, {maintainer: "Ada <ada@example.org>\nX: y"},
		{maintainer: "Ada <ada@example.org>", homepage: "example.org"}, {maintainer: "Ada <ada@example.org>", downloads: `https://example.org/"`},
		{maintainer: "Ada <ada@example.org>", downloads: "https://example.org/#{1}"},
	} {
		if r.checkOrigin() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
	if err := (&release{maintainer: "Ada Lovelace <ada@example.org>", homepage: "https://example.org"}).checkOrigin(); err != nil {
		t.Error(err)
	}
}
