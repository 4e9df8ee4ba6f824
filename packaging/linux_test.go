//go:build linux

package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Debian's own check finds nothing that debian/lintian-overrides does not explain.
func TestDebianPackageFollowsThePolicy(t *testing.T) {
	need(t, "lintian")
	out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error,warning", built(t, testDeb)).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("lintian: %v\n%s", err, out)
	}
}

// The RPM package has the same files as the Debian one, except for what the policies place
// elsewhere, and the scripts that keep the services.
func TestRPMPackage(t *testing.T) {
	need(t, "rpm", "dpkg-deb")
	var deb []string
	for line := range strings.Lines(output(t, "dpkg-deb", "-c", built(t, testDeb))) {
		if path := strings.TrimPrefix(strings.Fields(line)[5], "."); !strings.HasSuffix(path, "/") {
			deb = append(deb, path)
		}
	}
	if len(deb) < 50 {
		t.Errorf("%d files", len(deb))
	}
	rpm := strings.Fields(output(t, "rpm", "-qpl", built(t, testRPM)))
	for _, path := range deb {
		if !slices.Contains(rpm, path) && !strings.Contains(path, "/vendor-completions/") && !strings.HasSuffix(path, ".Debian.gz") && !strings.Contains(path, "/lintian/") {
			t.Errorf("the RPM package lacks %s", path)
		}
	}
	scripts := output(t, "rpm", "-qp", "--scripts", built(t, testRPM))
	for _, want := range []string{"postinstall", "systemd-sysusers seedbed.conf", "systemd-tmpfiles --create seedbed.conf", "preuninstall", "disable --now", "postuninstall", "try-restart"} {
		if !strings.Contains(scripts, want) {
			t.Errorf("the scripts lack %q:\n%s", want, scripts)
		}
	}
	if got := output(t, "rpm", "-qp", "--configfiles", built(t, testRPM)); got != "/etc/seedbed/config.toml\n" {
		t.Errorf("settings files: %q", got)
	}
	if got := output(t, "rpm", "-qp", "--qf", "%{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}", built(t, testRPM)); got != "1.2.3-1 x86_64 MIT" {
		t.Errorf("got %q", got)
	}
	// It unpacks, and its digests are right. Debian's rpm refuses to install without the last flag.
	root := t.TempDir()
	output(t, "rpm", "--root", root, "-i", "--nodeps", "--noscripts", "--force-debian", built(t, testRPM))
	if fi, err := os.Stat(root + "/usr/bin/seedbed"); err != nil || fi.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", fi, err)
	}
}

func TestDesktopFileIsValid(t *testing.T) {
	need(t, "desktop-file-validate")
	if out := output(t, "desktop-file-validate", "seedbed.desktop"); out != "" {
		t.Error(out)
	}
}

// What would make files or versions of Debian and RPM invalid is refused.
func TestVersions(t *testing.T) {
	for v, tilde := range map[string]string{"1.2.3": "1.2.3", "1.2.3-rc1": "1.2.3~rc1", "0.0.0~git20260131.45b247c": "0.0.0~git20260131.45b247c"} {
		if err := checkVersion(v); err != nil {
			t.Error(err)
		}
		if got := (&release{version: v}).tilde(); got != tilde {
			t.Errorf("%s: %s, want %s", v, got, tilde)
		}
	}
	for _, v := range []string{"", "1.2", "v1.2.3", "1.2.3-", "1.2.3 4", "1.2.3/../4", "0.0.0~git.\n"} {
		if checkVersion(v) == nil {
			t.Errorf("%q is a version", v)
		}
	}
}
