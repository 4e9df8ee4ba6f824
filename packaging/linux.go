package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm"
)

const (
	summary     = "BitTorrent node that needs no tracker"
	description = summary + `
Given only a magnet link, seedbed finds peers through the DHT and peer
exchange, fetches the metadata from them, downloads and verifies the data,
and can keep seeding. It runs as a command, or as a service that other
programs and a web page control. It also publishes folders that change under
a permanent link, and runs DHT bootstrap nodes.`
)

// linuxPackage writes the package in a format, deb or rpm, for one processor.
func (r *release) linuxPackage(format, arch string) error {
	all, err := r.linuxFiles(format, arch)
	if err != nil {
		return err
	}
	stage := filepath.Join(r.work, format+"-"+arch)
	contents, err := staged(stage, all)
	if err != nil {
		return err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "seedbed", Arch: arch, Platform: "linux", Version: r.tilde(), VersionSchema: "none", Release: "1", MTime: r.date,
		Section: "net", Priority: "optional", Maintainer: r.maintainer, Description: description, Vendor: "The seedbed authors", Homepage: r.homepage, License: "MIT",
		DisableGlobbing: true,
		Overridables:    nfpm.Overridables{Contents: contents},
	})
	// apt installs recommended packages, and those for a desktop would bring 150 packages to a server. So they are suggested.
	if format == "deb" {
		// A chroot needs no more of systemd than these two programs.
		info.Depends = []string{"systemd | systemd-standalone-sysusers | systemd-sysusers", "systemd | systemd-standalone-tmpfiles | systemd-tmpfiles"}
		info.Recommends, info.Suggests = []string{"ca-certificates"}, []string{"xdg-utils", "libnotify-bin"}
		info.Scripts = nfpm.Scripts{PostInstall: "debian/postinst", PreRemove: "debian/prerm", PostRemove: "debian/postrm"}
	} else {
		info.Depends = []string{"systemd"}
		info.Recommends, info.Suggests = []string{"ca-certificates"}, []string{"xdg-utils", "/usr/bin/notify-send"}
		info.RPM = nfpm.RPM{Summary: summary, Group: "Applications/Internet", BuildHost: "seedbed", Compression: "gzip:9"}
		info.Scripts = nfpm.Scripts{PostInstall: "rpm/post", PreRemove: "rpm/preun", PostRemove: "rpm/postun"}
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	return r.create(packager.ConventionalFileName(info), func(w io.Writer) error { return packager.Package(info, w) })
}

// staged writes the files of a package into a folder, from which nfpm takes them.
func staged(stage string, all []file) (contents files.Contents, err error) {
	for i, f := range all {
		from := filepath.Join(stage, fmt.Sprint(i))
		if err := os.MkdirAll(stage, 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(from, f.data, 0o644); err != nil {
			return nil, err
		}
		c := &files.Content{Source: from, Destination: f.path, FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: f.mode}}
		if strings.HasPrefix(f.path, "/etc/") {
			c.Type = files.TypeConfigNoReplace
		}
		contents = append(contents, c)
	}
	return contents, nil
}

// linuxFiles returns the files of a package.
func (r *release) linuxFiles(format, arch string) ([]file, error) {
	program, err := r.readBuilt(target{"linux", arch}, "/usr/bin/seedbed")
	if err != nil {
		return nil, err
	}
	all := []file{program}
	for _, from := range slices.Sorted(maps.Keys(installed)) {
		f, err := source(from, installed[from])
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	docs, err := documents()
	if err != nil {
		return nil, err
	}
	for _, from := range docs {
		f, err := source(from, "/usr/share/doc/seedbed/"+path.Base(from))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	notices, err := r.notices()
	if err != nil {
		return nil, err
	}
	all = append(all, file{path: "/usr/share/doc/seedbed/notices.txt.gz", mode: 0o644, data: gzipped(notices)})
	texts, err := r.common()
	if err != nil {
		return nil, err
	}
	completions := map[string]string{
		".bash": "/usr/share/bash-completion/completions/seedbed",
		".fish": "/usr/share/fish/vendor_completions.d/seedbed.fish",
		".zsh":  "/usr/share/zsh/site-functions/_seedbed",
	}
	if format == "deb" {
		completions[".zsh"] = "/usr/share/zsh/vendor-completions/_seedbed"
	}
	for _, f := range texts {
		if folder, name := path.Split(f.path); folder == "man/" {
			section := strings.TrimPrefix(path.Ext(name), ".")
			all = append(all, file{path: "/usr/share/man/man" + section + "/" + name + ".gz", mode: f.mode, data: gzipped(f.data)})
		} else if to := completions[path.Ext(name)]; to != "" {
			all = append(all, file{path: to, mode: f.mode, data: f.data})
		}
	}
	if format == "deb" {
		overrides, err := source("debian/lintian-overrides", "/usr/share/lintian/overrides/seedbed")
		if err != nil {
			return nil, err
		}
		log := fmt.Sprintf("seedbed (%s-1) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n", r.tilde(), r.version, r.maintainer, r.date.Format(time.RFC1123Z))
		return append(all, overrides, file{path: "/usr/share/doc/seedbed/changelog.Debian.gz", mode: 0o644, data: gzipped([]byte(log))}), nil
	}
	return all, nil
}

// installed maps files of the source, relative to this folder, to their places in a package. The documentation is not among them.
var installed = map[string]string{
	"config.toml":                       "/etc/seedbed/config.toml",
	"seedbed.desktop":                   "/usr/share/applications/seedbed.desktop",
	"../node/web/static/icon.svg":       "/usr/share/icons/hicolor/scalable/apps/seedbed.svg",
	"systemd/seedbed.service":           "/usr/lib/systemd/system/seedbed.service",
	"systemd/seedbed.socket":            "/usr/lib/systemd/system/seedbed.socket",
	"systemd/seedbed-bootstrap.service": "/usr/lib/systemd/system/seedbed-bootstrap.service",
	"systemd/user.service":              "/usr/lib/systemd/user/seedbed.service",
	"systemd/sysusers.conf":             "/usr/lib/sysusers.d/seedbed.conf",
	"systemd/tmpfiles.conf":             "/usr/lib/tmpfiles.d/seedbed.conf",
	"debian/copyright":                  "/usr/share/doc/seedbed/copyright",
	"grafana/seedbed.json":              "/usr/share/doc/seedbed/examples/grafana/seedbed.json",
	"prometheus/alerts.yml":             "/usr/share/doc/seedbed/examples/prometheus/alerts.yml",
}
