package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// imageUser is the user of the image, which no system has.
const imageUser = 65532

// An image is an OCI image layout in memory: blobs by their digest.
type image struct {
	blobs map[string][]byte
}

// A descriptor points to a blob (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// An imageIndex lists the images for several platforms (image-index.md).
type imageIndex struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// A manifest names the parts of the image for one platform (manifest.md).
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// An imageConfig says how the image is run (config.md). Health checks are an addition of Docker, which others
// ignore.
type imageConfig struct {
	Created time.Time `json:"created"`
	platform
	Config runConfig `json:"config"`
	RootFS rootFS    `json:"rootfs"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type runConfig struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Labels       map[string]string
	StopSignal   string
	Healthcheck  healthcheck
}

// A healthcheck has its times in nanoseconds.
type healthcheck struct {
	Test                           []string
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

func (r *release) imageName() string { return "seedbed-" + r.version + "-oci.tar" }

// image writes an archive with the OCI image of the program for the processors of Linux.
func (r *release) image(archs []string) error {
	m := &image{blobs: map[string][]byte{}}
	all := imageIndex{SchemaVersion: 2, MediaType: typeIndex}
	for _, arch := range archs {
		d, err := m.addPlatform(r, platform{arch, "linux"})
		if err != nil {
			return err
		}
		all.Manifests = append(all.Manifests, d)
	}
	top := m.addJSON(typeIndex, all)
	top.Annotations = map[string]string{"org.opencontainers.image.ref.name": r.version, "io.containerd.image.name": "docker.io/library/seedbed:" + r.version}
	files := []file{
		{path: "oci-layout", mode: 0o644, data: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{path: "index.json", mode: 0o644, data: encode(imageIndex{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{top}})},
		{path: "blobs/", mode: 0o755},
		{path: "blobs/sha256/", mode: 0o755},
	}
	for _, digest := range slices.Sorted(maps.Keys(m.blobs)) {
		files = append(files, file{path: "blobs/sha256/" + digest, mode: 0o644, data: m.blobs[digest]})
	}
	return r.create(r.imageName(), func(w io.Writer) error { return writeTar(w, files, r.date) })
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // these types can be encoded
	}
	return b
}

// add adds a blob.
func (m *image) add(mediaType string, data []byte) descriptor {
	digest := sha256.Sum256(data)
	m.blobs[hex.EncodeToString(digest[:])] = data
	return descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(digest[:]), Size: len(data)}
}

func (m *image) addJSON(mediaType string, v any) descriptor { return m.add(mediaType, encode(v)) }

// addPlatform adds the image for a processor.
func (m *image) addPlatform(r *release, p platform) (descriptor, error) {
	files, err := r.imageFiles(p.Architecture)
	if err != nil {
		return descriptor{}, err
	}
	var plain bytes.Buffer
	if err := writeTar(&plain, files, r.date); err != nil {
		return descriptor{}, err
	}
	diff := sha256.Sum256(plain.Bytes())
	config := imageConfig{Created: r.date, platform: p, RootFS: rootFS{"layers", []string{"sha256:" + hex.EncodeToString(diff[:])}}, Config: runConfig{
		User:         "65532:65532",
		ExposedPorts: map[string]struct{}{"6881/tcp": {}, "6881/udp": {}, "8009/tcp": {}},
		// Other containers and published ports reach the interfaces; they need a token.
		Env:        []string{"PATH=/usr/bin", "HOME=/var/lib/seedbed", "SEEDBED_STATE=/var/lib/seedbed", "SEEDBED_DIR=/downloads", "SEEDBED_HTTP=0.0.0.0:8009"},
		Entrypoint: []string{"/usr/bin/seedbed"},
		Cmd:        []string{"daemon"},
		Volumes:    map[string]struct{}{"/var/lib/seedbed": {}, "/downloads": {}},
		WorkingDir: "/downloads",
		Labels: map[string]string{"org.opencontainers.image.title": "seedbed", "org.opencontainers.image.description": summary,
			"org.opencontainers.image.version": r.version, "org.opencontainers.image.licenses": "MIT", "org.opencontainers.image.authors": r.maintainer},
		StopSignal: "SIGTERM",
		// A command that the daemon answers over its unix socket.
		Healthcheck: healthcheck{Test: []string{"CMD", "/usr/bin/seedbed", "publications", "--quiet"}, Interval: 30 * time.Second, Timeout: 10 * time.Second, StartPeriod: 30 * time.Second, Retries: 3},
	}}
	if r.homepage != "" {
		config.Config.Labels["org.opencontainers.image.url"] = r.homepage
	}
	d := m.addJSON(typeManifest, manifest{SchemaVersion: 2, MediaType: typeManifest,
		Config: m.addJSON(typeConfig, config),
		Layers: []descriptor{m.add(typeLayer, gzipped(plain.Bytes()))}})
	d.Platform = &p
	return d, nil
}

// imageFiles returns the files of the image: the program, the certificates with which it verifies HTTPS, and
// the folders of the volumes.
func (r *release) imageFiles(arch string) ([]file, error) {
	program, err := r.readBuilt(target{"linux", arch}, "usr/bin/seedbed")
	if err != nil {
		return nil, err
	}
	license, err := source("../LICENSE", "usr/share/doc/seedbed/LICENSE")
	if err != nil {
		return nil, err
	}
	notices, err := r.notices()
	if err != nil {
		return nil, err
	}
	folder := func(path string) file { return file{path: path, mode: 0o755} }
	return []file{
		{path: "downloads/", mode: 0o755, owner: imageUser},
		folder("etc/"),
		{path: "etc/group", mode: 0o644, data: []byte("root:x:0:\nseedbed:x:65532:\n")},
		{path: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/:/sbin/nologin\nseedbed:x:65532:65532:seedbed:/var/lib/seedbed:/sbin/nologin\n")},
		folder("etc/ssl/"), folder("etc/ssl/certs/"),
		{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, data: certificates()},
		{path: "tmp/", mode: 0o1777},
		folder("usr/"), folder("usr/bin/"), program,
		folder("usr/share/"), folder("usr/share/doc/"), folder("usr/share/doc/seedbed/"), license,
		{path: "usr/share/doc/seedbed/NOTICES.txt", mode: 0o644, data: notices},
		folder("var/"), folder("var/lib/"),
		{path: "var/lib/seedbed/", mode: 0o700, owner: imageUser},
	}, nil
}

// certificates returns Mozilla's root certificates, in the version of the module that has them.
func certificates() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
	}
	return b.Bytes()
}
