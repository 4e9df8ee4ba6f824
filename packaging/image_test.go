//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// layout reads the OCI archive and checks that every blob has its digest and size. blob returns one.
func layout(t *testing.T) (index imageIndex, blob func(d descriptor) []byte) {
	t.Helper()
	_, files := unpacked(t, bytes.NewReader(readFile(t, built(t, "seedbed-1.2.3-oci.tar"))))
	if got := string(files["oci-layout"]); got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("oci-layout: %s", got)
	}
	decode(t, files["index.json"], &index)
	used := map[string]bool{"oci-layout": true, "index.json": true, "blobs/": true, "blobs/sha256/": true}
	t.Cleanup(func() {
		for name := range files {
			if !used[name] {
				t.Errorf("nothing points to %s", name)
			}
		}
	})
	return index, func(d descriptor) []byte {
		t.Helper()
		name := "blobs/" + strings.Replace(d.Digest, ":", "/", 1)
		used[name] = true
		data := files[name]
		if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest || len(data) != d.Size {
			t.Fatalf("%s has %d bytes and the digest %x, want %d bytes", name, len(data), sum, d.Size)
		}
		return data
	}
}

func decode(t *testing.T, data []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

// Another program understands the image.
func TestSkopeoReadsTheImage(t *testing.T) {
	need(t, "skopeo")
	var seen struct {
		Os, Architecture string
		Labels           map[string]string
	}
	for _, arch := range []string{"amd64", "arm64"} {
		decode(t, []byte(output(t, "skopeo", "--override-arch", arch, "--override-os", "linux", "inspect", "oci-archive:"+built(t, "seedbed-1.2.3-oci.tar"))), &seen)
		if seen.Os != "linux" || seen.Architecture != arch || seen.Labels["org.opencontainers.image.version"] != "1.2.3" {
			t.Errorf("%s: %+v", arch, seen)
		}
	}
	output(t, "skopeo", "--insecure-policy", "--override-arch", "amd64", "copy", "oci-archive:"+built(t, "seedbed-1.2.3-oci.tar"), "dir:"+t.TempDir())
}

// The image is valid, runs as a user that is not root on a root file system that is read-only, and its health
// check passes while the daemon runs, and only then.
func TestImage(t *testing.T) {
	index, blob := layout(t)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("index: %+v", index)
	}
	var platforms imageIndex
	decode(t, blob(index.Manifests[0]), &platforms)
	if len(platforms.Manifests) != 2 {
		t.Fatalf("platforms: %+v", platforms)
	}
	for _, d := range platforms.Manifests {
		var m manifest
		decode(t, blob(d), &m)
		var c imageConfig
		decode(t, blob(m.Config), &c)
		layer := blob(m.Layers[0])
		var plain bytes.Buffer
		if _, err := plain.ReadFrom(gunzip(t, layer)); err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(plain.Bytes()); len(m.Layers) != 1 || len(c.RootFS.DiffIDs) != 1 || c.RootFS.DiffIDs[0] != "sha256:"+hex.EncodeToString(sum[:]) {
			t.Errorf("layers %+v, %+v", m.Layers, c.RootFS)
		}
		if c.platform != *d.Platform || c.OS != "linux" || c.Config.User != "65532:65532" || len(c.Config.Healthcheck.Test) < 2 {
			t.Errorf("config: %+v, platform %+v", c, d.Platform)
		}
		if c.Architecture == "amd64" {
			runImage(t, plain.Bytes(), c.Config)
		}
	}
}

// runImage runs the image as a container engine does.
func runImage(t *testing.T, layer []byte, c runConfig) {
	if os.Getuid() != 0 {
		skip(t, fmt.Errorf("only root can run an image"))
	}
	root := t.TempDir()
	headers, contents := unpacked(t, bytes.NewReader(layer))
	unpack := exec.Command("tar", "-x", "-C", root)
	unpack.Stdin = bytes.NewReader(layer)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := bytes.Count(contents["etc/ssl/certs/ca-certificates.crt"], []byte("BEGIN CERTIFICATE")); n < 100 {
		t.Errorf("%d certificates", n)
	}
	mount := func(kind, at string, flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount(kind, at, kind, flags, options); err != nil {
			t.Fatalf("mount %s: %v", at, err)
		}
		t.Cleanup(func() { syscall.Unmount(at, syscall.MNT_DETACH) })
	}
	mount(root, root, syscall.MS_BIND, "")
	if err := syscall.Mount("", root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for volume := range c.Volumes {
		h := headers[strings.TrimPrefix(volume, "/")+"/"]
		if h == nil {
			t.Fatalf("there is no folder for the volume %s", volume)
		}
		mount("tmpfs", filepath.Join(root, volume), 0, fmt.Sprintf("uid=%d,gid=%d,mode=%o", h.Uid, h.Gid, h.Mode))
	}
	if err := os.WriteFile(filepath.Join(root, "x"), nil, 0o644); err == nil {
		t.Fatal("the root file system can be written")
	}
	var uid, gid uint32
	if _, err := fmt.Sscanf(c.User, "%d:%d", &uid, &gid); err != nil || uid == 0 || gid == 0 {
		t.Fatalf("user %s: %v", c.User, err)
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = c.WorkingDir, c.Env
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	if c.Healthcheck.Test[0] != "CMD" {
		t.Fatalf("there is no shell for the health check %q", c.Healthcheck.Test)
	}
	healthy := func() error {
		if out, err := inside(c.Healthcheck.Test[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if healthy() == nil {
		t.Error("the health check passes without a daemon")
	}
	daemon := inside(append(c.Entrypoint, c.Cmd...)...)
	var said bytes.Buffer
	daemon.Stdout, daemon.Stderr = &said, &said
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer daemon.Process.Kill()
	eventually(t, "the health check passes", healthy)
	if status, _, err := node(""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("status %d, %v", status, err)
	}
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Errorf("the daemon: %v\n%s", err, said.String())
	}
}
