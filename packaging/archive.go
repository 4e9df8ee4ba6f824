package main

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"io"
	"path"
	"slices"
	"strings"
	"time"
)

// archive writes the archive for a target: a tarball, or a zip for Windows. Everything in it is in a folder
// with the name of the archive.
func (r *release) archive(t target) error {
	all, err := r.archiveFiles(t)
	if err != nil {
		return err
	}
	folder := r.archiveFolder(t)
	for i := range all {
		all[i].path = path.Join(folder, all[i].path)
	}
	return r.create(r.archiveName(t), func(w io.Writer) error {
		if t.os == "windows" {
			return writeZip(w, all, r.date)
		}
		return writeTarGz(w, all, r.date)
	})
}

func (r *release) archiveFolder(t target) string {
	return "seedbed-" + r.version + "-" + t.os + "-" + t.arch
}

func (r *release) archiveName(t target) string {
	if t.os == "windows" {
		return r.archiveFolder(t) + ".zip"
	}
	return r.archiveFolder(t) + ".tar.gz"
}

// archiveFiles returns the files of an archive. Windows has no use for manual pages and shells of Unix.
func (r *release) archiveFiles(t target) ([]file, error) {
	program, err := r.readBuilt(t, t.binary())
	if err != nil {
		return nil, err
	}
	notices, err := r.notices()
	if err != nil {
		return nil, err
	}
	docs, err := documents()
	if err != nil {
		return nil, err
	}
	sources := append(docs, "../LICENSE", "../README.md")
	if t.os == "linux" {
		sources = append(sources, "systemd/seedbed.service", "systemd/seedbed.socket", "systemd/seedbed-bootstrap.service",
			"systemd/user.service", "systemd/sysusers.conf", "systemd/tmpfiles.conf", "config.toml", "seedbed.desktop")
	}
	all := []file{program, {path: "NOTICES.txt", mode: 0o644, data: notices}}
	for _, from := range sources {
		f, err := source(from, strings.TrimPrefix(from, "../"))
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	texts, err := r.common()
	if err != nil {
		return nil, err
	}
	for _, f := range texts {
		if (t.os == "windows") == strings.HasSuffix(f.path, ".powershell") {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b file) int { return cmp.Compare(a.path, b.path) })
	return all, nil
}

// writeTarGz writes a compressed tarball. Everything in it belongs to root.
func writeTarGz(w io.Writer, all []file, date time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := writeTar(z, all, date); err != nil {
		return err
	}
	return z.Close()
}

// writeTar writes a tarball. A file whose path ends in a slash is a folder.
func writeTar(w io.Writer, all []file, date time.Time) error {
	tw := tar.NewWriter(w)
	for _, f := range all {
		h := &tar.Header{Name: f.path, Typeflag: tar.TypeReg, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: date, Uid: f.owner, Gid: f.owner, Format: tar.FormatPAX}
		if strings.HasSuffix(f.path, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeZip(w io.Writer, all []file, date time.Time) error {
	zw := zip.NewWriter(w)
	for _, f := range all {
		h := &zip.FileHeader{Name: f.path, Method: zip.Deflate, Modified: date}
		h.SetMode(f.mode)
		entry, err := zw.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := entry.Write(f.data); err != nil {
			return err
		}
	}
	return zw.Close()
}
