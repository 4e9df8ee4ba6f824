// Command packaging makes the packages of seedbed: Debian and RPM packages with services, manual
// pages and completions; and releases, which also have archives for all systems, an OCI image, recipes for
// Homebrew and Nix, a bill of materials and checksums.
//
// It runs in its own folder, in a module of its own, so that the program does not depend on what makes
// its packages:
//
//	go run . -version 1.2.3 -maintainer 'Ada <ada@host>' package
//	go run . -version 1.2.3 -maintainer 'Ada <ada@host>' -downloads https://host/folder release
//
// The same source and version give the same bytes: all times are that of the commit
// (SOURCE_DATE_EPOCH), all files belong to root, and no path of the machine is in them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run() error {
	var r release
	flag.StringVar(&r.version, "version", "", "`VERSION` of the release, as in 1.2.3 or 1.2.3-rc1")
	flag.StringVar(&r.out, "out", "../dist", "write the packages into `DIR`")
	flag.StringVar(&r.maintainer, "maintainer", "", "`NAME <ADDRESS>` of the person or group who maintains the packages")
	flag.StringVar(&r.homepage, "homepage", "", "`URL` of the project; without one the packages name none")
	flag.StringVar(&r.downloads, "downloads", "", "`URL` of the folder from which the recipes download; without one they take the archives beside them")
	flag.Parse()
	steps := map[string]func() error{"package": r.makePackages, "release": r.makeAll}
	step := steps[flag.Arg(0)]
	if flag.NArg() != 1 || step == nil {
		return errors.New("usage: go run . [flags] package|release")
	}
	r.targets = allTargets
	if flag.Arg(0) == "package" {
		r.targets = allTargets[:2] // the packages are for Linux
	}
	if err := checkVersion(r.version); err != nil {
		return err
	}
	if err := r.checkOrigin(); err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("set SOURCE_DATE_EPOCH to the time of the commit in Unix seconds: git log -1 --format=%ct")
	}
	r.date = time.Unix(epoch, 0).UTC()
	if r.work, err = os.MkdirTemp("", "seedbed-packaging-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	return step()
}
